# shellcheck shell=sh
# gofix, for login shells: /etc/profile has just set PATH anew, without the folders of the golang image.
case ":${PATH}:" in *:/go/bin:*) ;; *) PATH="/go/bin:${PATH}" ;; esac
case ":${PATH}:" in *:/usr/local/go/bin:*) ;; *) PATH="${PATH}:/usr/local/go/bin" ;; esac
export PATH
