# Puts the shim of gofix first in PATH, once; `gofix shim uninstall` takes this away.
set -l __gofix_rest
for __gofix_entry in $PATH
    test "$__gofix_entry" != @DIR@
    and set __gofix_rest $__gofix_rest $__gofix_entry
end
set -gx PATH @DIR@ $__gofix_rest
