#!/bin/sh
# Installs VCA's files beside the configuration in /etc/asterisk. Each is a file of its own (vca-*.conf) with an #include at
# the end of the file that it belongs to. No existing line is changed; a file that gets an #include is first copied to
# FILE.before-vca. Repeating the command renews VCA's files.
#
# usage: install.sh VALUES [--http] [--transports] [--trunk] [--twilio] [--telnyx]
#
# VALUES is a sed script that fills the placeholders (README.md). Without options only the dialplan and the ARI user are
# installed, for an Asterisk with a trunk and an HTTP server. ASTERISK_DIR sets another folder than /etc/asterisk.
set -eu

values=${1:?usage: install.sh VALUES [--http] [--transports] [--trunk] [--twilio] [--telnyx]}
shift
here=$(cd "$(dirname "$0")" && pwd)
folder=${ASTERISK_DIR:-/etc/asterisk}

parts="extensions:vca-extensions ari:vca-ari"
for option in "$@"; do
  case $option in
    --http) parts="$parts http:vca-http" ;;
    --transports) parts="$parts pjsip:vca-transports" ;;
    --trunk) parts="$parts pjsip:vca-trunk" ;;
    --twilio) parts="$parts pjsip:vca-twilio" ;;
    --telnyx) parts="$parts pjsip:vca-telnyx" ;;
    *) echo "install.sh: unknown option $option" >&2; exit 64 ;;
  esac
done

# Everything is checked before anything is written.
for part in $parts; do
  left=$(sed -f "$values" "$here/${part#*:}.conf" | grep -n '^[^;]*@@[A-Z_]*@@' || true)
  [ -z "$left" ] || { echo "install.sh: ${part#*:}.conf has placeholders without a value: $left" >&2; exit 65; }
done

owner=""
if [ "$(id -u)" = 0 ] && id asterisk >/dev/null 2>&1; then owner="-o asterisk -g asterisk"; fi
for part in $parts; do
  main=$folder/${part%%:*}.conf
  file=${part#*:}.conf
  # shellcheck disable=SC2086
  sed -f "$values" "$here/$file" | install -m 600 $owner /dev/stdin "$folder/$file"
  # shellcheck disable=SC2086
  [ -e "$main" ] || install -m 640 $owner /dev/null "$main"
  if ! grep -qxF "#include $file" "$main"; then
    [ -e "$main.before-vca" ] || cp -p "$main" "$main.before-vca"
    # [general](+) adds to a section that has to be there.
    case $file in
      vca-ari.conf|vca-http.conf) grep -q '^\[general\]' "$main" || printf '\n[general]\n' >> "$main" ;;
    esac
    printf '\n#include %s\n' "$file" >> "$main"
  fi
done
echo "installed in $folder: $(for part in $parts; do printf '%s.conf ' "${part#*:}"; done)"
