# SPDX-License-Identifier: Apache-2.0
# Completion for fish: vmpoke itself tells which words may stand there.
function __vmpoke_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (vmpoke complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c vmpoke -f -a '(__vmpoke_complete)'
