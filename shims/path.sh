# Puts the shim of gofix first in PATH, once; `gofix shim uninstall` takes this away.
__gofix_dir=@DIR@
__gofix_path=":${PATH}:"
while :; do
    case "${__gofix_path}" in
        *":${__gofix_dir}:"*) __gofix_path="${__gofix_path%%":${__gofix_dir}:"*}:${__gofix_path#*":${__gofix_dir}:"}" ;;
        *) break ;;
    esac
done
__gofix_path="${__gofix_path#:}"
PATH="${__gofix_dir}:${__gofix_path%:}"
export PATH
unset __gofix_dir __gofix_path
