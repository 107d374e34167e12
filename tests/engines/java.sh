#!/bin/sh
# Spark runs on Java 17 or newer: installed here where there is none, apt is there and we may use it.
command -v java >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "Spark needs Java 17 or newer. Install a JRE (Debian, Ubuntu: sudo apt-get install default-jre-headless)." >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jre-headless >/dev/null
