//! Every variable that gofix reads, declared once.
