# bash completion for vmferry-target

_vmferry_target() {
  local cur prev
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD - 1]}
  case $prev in --store | --socket) COMPREPLY=($(compgen -f -- "$cur")) && return ;; esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W '--store --socket --dry-run --json --help --version' -- "$cur"))
  else
    COMPREPLY=($(compgen -W 'init serve status delete key' -- "$cur"))
  fi
}

complete -o filenames -F _vmferry_target vmferry-target
