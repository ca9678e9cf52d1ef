# bash completion for vmferry and vmferry-target
# Machine names come from the target, if one is configured and answers.

_vmferry_names() { timeout 2 vmferry points --quiet --progress never 2>/dev/null | awk 'NR > 1 {print $1}' | sort -u; }

_vmferry() {
  local cur prev command word
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD - 1]}
  local common='--target --catalog --config --progress --quiet --verbose --json --help'
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in backup | points | ls | restore | cat | verify | inspect | explain | bench) command=$word && break ;; esac
  done
  case $prev in
    --progress) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")) && return ;;
    --source) COMPREPLY=($(compgen -W 'auto off frozen' -- "$cur")) && return ;;
    --compression) COMPREPLY=($(compgen -W 'auto 1 3 9 19' -- "$cur")) && return ;;
    --link) COMPREPLY=($(compgen -W '10mbit,80ms 100mbit,40ms 1gbit,5ms' -- "$cur")) && return ;;
    --by) COMPREPLY=($(compgen -W 'file directory' -- "$cur")) && return ;;
    --format) COMPREPLY=($(compgen -W 'same flat sparse stream raw' -- "$cur")) && return ;;
    --keep) COMPREPLY=($(compgen -W 'free pagefile hiberfil' -- "$cur")) && return ;;
    --target) COMPREPLY=($(compgen -W 'file:/// unix:///' -- "$cur")) && return ;;
    --catalog | --config | --output | -o | --html) COMPREPLY=($(compgen -f -- "$cur")) && return ;;
    --name | --disk | --skip-disk | --at | --max-age | --limit | --block-size) return ;;
  esac
  if [[ $cur == -* ]]; then
    local options=$common
    case $command in
      backup) options+=' --name --source --exact --keep --disk --skip-disk --adopt --no-delta --compression' ;;
      points) options+=' --max-age' ;;
      ls) options+=' --recursive --at' ;;
      restore) options+=' --output --format --disk --at --force --resume --keep-going' ;;
      cat) options+=' --at' ;;
      verify) options+=' --pull --at' ;;
      inspect) options+=' --source' ;;
      explain) options+=' --by --limit --all --points --at' ;;
      bench) options+=' --link --html --compression --block-size' ;;
      *) options+=' --version' ;;
    esac
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
    return
  fi
  case $command in
    '') COMPREPLY=($(compgen -W 'backup points ls restore cat verify inspect explain bench' -- "$cur")) ;;
    backup | inspect | bench) COMPREPLY=($(compgen -f -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$(_vmferry_names)" -- "$cur")) ;;
  esac
}

_vmferry_target() {
  local cur prev
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD - 1]}
  case $prev in --store | --socket) COMPREPLY=($(compgen -f -- "$cur")) && return ;; esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W '--store --socket --pin-days --dry-run --json --help --version' -- "$cur"))
  else
    COMPREPLY=($(compgen -W 'init serve status delete key' -- "$cur"))
  fi
}

complete -o filenames -o nospace -F _vmferry vmferry
complete -o filenames -F _vmferry_target vmferry-target
