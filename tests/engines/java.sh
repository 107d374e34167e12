#!/bin/sh
# Spark runs on Java 17 or newer. "java.sh check" says whether it is there; "java.sh" also installs
# it where there is none, apt is there and we may use it.
has_java() {
    version=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=2 -o Acquire::http::Timeout=30 \
        -o DPkg::Lock::Timeout=60 "$@" >/dev/null
}

has_java && exit 0
[ "$1" = check ] && exit 1
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt update
    apt install -y --no-install-recommends default-jre-headless
    has_java && exit 0
fi
echo "Spark needs Java 17 or newer. Install a JRE (Debian, Ubuntu: sudo apt-get install default-jre-headless)." >&2
exit 1
