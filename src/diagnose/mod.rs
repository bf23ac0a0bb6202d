//! Recognises what go said: text to diagnosis. Pure.
