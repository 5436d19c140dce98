#!/bin/sh
# Installs the servers and programs that the tests need: `make test` runs it before the tests.
# With the word `node` it installs Node and the packages of tests/node only, which is what `make lint` needs; with the
# word `images` also what builds and runs container images.
#
# It may be run any number of times and does nothing where nothing is missing. System packages are
# installed only as root on Debian or Ubuntu, and no system service is started; elsewhere it says what
# is missing and fails.
set -eu
cd "$(dirname "$0")"

missing=""
client=../../ops/clients/python

# need PACKAGE PROGRAM...: PACKAGE is missing unless one of the programs is there.
need() {
    package=$1
    shift
    for program in "$@"; do
        if PATH="$PATH:/usr/sbin:/usr/lib/rabbitmq/bin" command -v "$program" >/dev/null 2>&1; then return; fi
        for path in /usr/lib/postgresql/*/bin/"$program"; do
            if [ -x "$path" ]; then return; fi
        done
    done
    missing="$missing $package"
}

need nodejs node
need npm npm
if [ "${1:-}" != node ]; then
    need rabbitmq-server rabbitmq-server
    need postgresql postgres
    need pgbouncer pgbouncer
    need ceph-mon ceph-mon
    need ceph-osd ceph-osd
    need ceph-common ceph
    need ceph-base monmaptool
    need radosgw radosgw
    need prometheus prometheus
    need chromium chromium chromium-browser google-chrome
    need default-jdk-headless javac
    need strace strace
    need iproute2 ip
    need nftables nft
    need gcc gcc
    if [ ! -e /usr/include/dlfcn.h ]; then missing="$missing libc6-dev"; fi
    if [ ! -e /usr/share/java/amqp-client.jar ]; then missing="$missing librabbitmq-client-java"; fi
fi

if [ "${1:-}" = images ]; then
    need podman podman
    need runc runc
    need debootstrap debootstrap
fi

install_packages() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "The tests need these packages, which are missing:$missing" >&2
        echo "Install them, or run this once as root on Debian or Ubuntu: $0" >&2
        exit 1
    fi
    # Debian starts services as it installs them, unless this program says no.
    policy=/usr/sbin/policy-rc.d
    kept=$(mktemp)
    log=$(mktemp)
    if [ -e "$policy" ]; then cp -p "$policy" "$kept"; else rm -f "$kept"; fi
    trap 'if [ -e "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi; rm -f "$log"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    echo "installing$missing"
    # shellcheck disable=SC2086 # one word for each package
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends -o Dpkg::Use-Pty=0 $missing; } >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        exit 1
    fi
}

# own_environment NAME [OPTION]: an environment .NAME of its own with the packages of NAME.txt.
own_environment() {
    name=$1
    shift
    wanted=$(cat "$name.txt")
    # A changed client is installed again.
    if [ "$name" = client ]; then wanted="$wanted $(cat $client/pyproject.toml $client/*/*.* | cksum)"; fi
    if [ "$(cat ".$name/installed" 2>/dev/null)" = "$wanted" ]; then return; fi
    echo "installing the packages of tests/servers/$name.txt"
    "${PYTHON:-python3}" -m venv --clear ".$name"
    echo '*' >".$name/.gitignore"
    ".$name/bin/pip" install --quiet --disable-pip-version-check --no-input "$@" -r "$name.txt"
    echo "$wanted" >".$name/installed"
}

install_node_packages() {
    if [ ../node/node_modules/.package-lock.json -nt ../node/package-lock.json ]; then return; fi
    echo "installing the Node packages of tests/node"
    (cd ../node && npm ci --silent --no-audit --no-fund --ignore-scripts)
    touch ../node/node_modules/.package-lock.json
}

if [ -n "$missing" ]; then install_packages; fi
if [ "${1:-}" != node ]; then
    # ministack and the AWS CLI pin a botocore of their own.
    own_environment ministack
    # RunPod's worker loop, without the hundred packages that its command line takes.
    own_environment runpod --no-deps
    own_environment client
fi
install_node_packages
