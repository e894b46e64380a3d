# Sourced by install, uninstall and e2e: which cluster is meant, and how to talk to it.
#
# With KUBECONFIG set it is that one. Without, or when the file is one of ours, it is the local cluster number
# INSTANCE (0 if not given). Sets: root, bin, local (true or false), instance; exports KUBECONFIG.
# shellcheck shell=bash disable=SC2034

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
bin=$root/.local/bin
instance=${INSTANCE:-0}
local=true

case ${KUBECONFIG:-} in
"") export KUBECONFIG=$root/.local/instance$instance/kubeconfig ;;
"$root"/.local/kubeconfig) instance=0 ;;
"$root"/.local/instance*/kubeconfig)
	instance=${KUBECONFIG#"$root"/.local/instance}
	instance=${instance%/kubeconfig}
	;;
*) local=false ;;
esac

say() { printf '==> %s\n' "$*"; }
fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

cluster() { "$root/.ci/cluster" "$@"; }

# need_kubectl: there is one, ours (it comes with a local cluster) or the user's; else it is built.
need_kubectl() { [ -x "$bin/kubectl" ] || command -v kubectl >/dev/null || cluster build kubernetes; }

kubectl() {
	if [ -x "$bin/kubectl" ]; then
		"$bin/kubectl" "$@"
	else
		command kubectl "$@"
	fi
}

# has CRD: the API server knows the resource, named as in rollouts.crossfade.dev.
has() { kubectl get crd "$1" >/dev/null 2>&1; }

# await SECONDS WHAT STATE CHECK...: asks each second until the check succeeds; every five seconds it prints
# what the command line STATE answers. Returns 1 when the time is over.
await() {
	local limit=$1 what=$2 state=$3 begin=$SECONDS told=$SECONDS
	shift 3
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS - begin >= limit)); then
			return 1
		fi
		if ((SECONDS - told >= 5)); then
			told=$SECONDS
			printf '    %3d s  waiting until %s  %s\n' "$((SECONDS - begin))" "$what" "$(eval "$state" 2>/dev/null | tr -s ' \n' ' ' | cut -c1-160)"
		fi
		sleep 1
	done
	printf '    %3d s  %s\n' "$((SECONDS - begin))" "$what"
}
