# bash completion for vmferry-target

_vmferry_target() {
  local cur prev command word
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD - 1]}
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in init | serve | session | status | delete | key | client | certificate | push | pull | enroll) command=$word && break ;; esac
  done
  case $prev in
    --store | --socket | --config | --domain | --enrolments | --ssh-key | --known-hosts) COMPREPLY=($(compgen -f -- "$cur")) && return ;;
    --to | --from) COMPREPLY=($(compgen -W 'tls:// ssh:// file:/// unix:///' -- "$cur")) && return ;;
    --listen) COMPREPLY=($(compgen -W 'tls://[::]:7447' -- "$cur")) && return ;;
    --role) COMPREPLY=($(compgen -W 'sender reader replica operator sender,reader' -- "$cur")) && return ;;
    client) COMPREPLY=($(compgen -W 'add list revoke' -- "$cur")) && return ;;
    key) COMPREPLY=($(compgen -W 'export' -- "$cur")) && return ;;
    certificate) COMPREPLY=($(compgen -W 'renew' -- "$cur")) && return ;;
  esac
  if [[ $cur == -* ]]; then
    local options='--store --json --help'
    case $command in
      init) options+=' --domain' ;;
      serve) options+=' --config --socket --listen --sessions --backups --rebuild-level --dscp --idle-exit' ;;
      session) options+=' --stdio --client' ;;
      delete) options+=' --dry-run' ;;
      client) options+=' --role --machines --address --ssh' ;;
      push) options+=' --to --dry-run --no-delta --enrolments --ssh-command --ssh-key --known-hosts --retry-for' ;;
      pull) options+=' --from --dry-run --no-delta --enrolments --ssh-command --ssh-key --known-hosts --retry-for' ;;
      enroll) options+=' --enrolments --replace' ;;
      '') options+=' --version' ;;
    esac
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W 'init serve session status delete key client certificate push pull enroll' -- "$cur"))
  fi
}

complete -o filenames -o nospace -F _vmferry_target vmferry-target
