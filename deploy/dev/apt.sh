# shellcheck shell=sh
# Debian packages for building and testing: sourced by the install-*.sh files beside it,
# which say in apt_sh where this file stands.
#
# Nothing is touched when every command is already there. A service that is installed
# only so that a test can start it in a namespace of its own (nginx, unbound, fail2ban...)
# must neither start now nor at the next boot, so starting is forbidden while apt runs
# and each newly installed service is disabled afterwards.

# Administrators' commands are not in every user's PATH, but they are on the machine.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

# missing_packages COMMAND=PACKAGE...: the packages whose command is not found, each once.
missing_packages() {
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || printf '%s\n' "${pair#*=}"
  done | sort -u | tr '\n' ' '
}

# install_packages WHAT_FOR PACKAGE...: installs by apt, as root or through sudo.
install_packages() {
  what_for=$1
  shift
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "$what_for needs these Debian packages or their like: $*" >&2
    echo "There is no apt-get here: install them with this system's package tool, then try again." >&2
    return 1
  fi
  if [ "$(id -u)" -eq 0 ]; then
    install_as_root "$@"
  elif command -v sudo >/dev/null 2>&1; then
    echo "$what_for needs: $* (sudo may ask for your password)" >&2
    sudo sh -eu -c '. "$0"; install_as_root "$@"' "${apt_sh:?}" "$@"
  else
    echo "$what_for needs packages that are missing, and this is neither root nor is there sudo." >&2
    echo "As root: apt-get update && apt-get install --no-install-recommends $*" >&2
    return 1
  fi
}

# install_as_root PACKAGE...: one apt run during which no service may start.
install_as_root() {
  echo "Installing: $*" >&2
  policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then
    policy='' # the administrator's own rule stands
  else
    # Removed whichever way this shell ends, or no service of the machine would start again.
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  # CrowdSec's package registers the machine at a central service, unless there is such a
  # file already: a test needs no account, and where there is no network it would fail.
  case " $* " in
    *" crowdsec "*)
      account=/etc/crowdsec/online_api_credentials.yaml
      mkdir -p /etc/crowdsec
      [ -s "$account" ] || echo '# none: installed for tests only' >"$account"
      ;;
  esac
  status=0
  apt_get update && apt_get install --yes --no-install-recommends "$@" || status=$?
  if [ -n "$policy" ]; then
    rm -f "$policy"
    trap - EXIT INT TERM
  fi
  [ "$status" -eq 0 ] || return "$status"
  for service in nginx unbound fail2ban crowdsec crowdsec-firewall-bouncer haproxy knot squid tinyproxy; do
    case " $* " in
      # The first wants a script in /etc/init.d, which some packages no longer have; the
      # second wants to be called by a package.
      *" $service "*)
        update-rc.d "$service" disable >/dev/null 2>&1 ||
          DPKG_MAINTSCRIPT_PACKAGE=$service deb-systemd-helper disable "$service.service" >/dev/null 2>&1 ||
          printf '%s could not be disabled: it may start with this machine\n' "$service" >&2
        ;;
    esac
  done
}

# apt_get ARGUMENT...: quiet, and everything it said where it fails.
apt_get() {
  log=$(mktemp)
  if DEBIAN_FRONTEND=noninteractive apt-get -qq -o=Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1; then
    rm -f "$log"
  else
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
}
