#!/bin/sh
# Install from Debian's packages what the tests use beside Python, where that is possible; a test whose program is
# still missing skips and says which.
missing=""
for pair in nginx:nginx-light wrk:wrk postgres:postgresql; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] \
        || ls /usr/lib/postgresql/*/bin/"${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing; } >/dev/null 2>&1 \
        || echo "could not install$missing: the tests that need them will be skipped"
else
    echo "not installed, and this is not root on Debian:$missing; the tests that need them will be skipped"
fi
