package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// audience is what tokens have to be made for. A token that a pod shows to
// somebody else, or the API server's own, is none for us.
const audience = "crossfade"

// Claims of a token that is bound to a pod.
const (
	claimPodName = "authentication.kubernetes.io/pod-name"
	claimPodUID  = "authentication.kubernetes.io/pod-uid"
)

// podBinding ties tokens, certificates and streams to the one pod each of them
// belongs to.
type podBinding struct {
	cache, live client.Reader
	client      client.Client
	authority   *Authority
	gateway     types.NamespacedName
	meters      *authorityMeters
	log         logr.Logger
}

// authenticate asks the API server whose token it is.
func (b *podBinding) authenticate(ctx context.Context, token string) (identity.Workload, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	if err := b.client.Create(ctx, review); err != nil {
		return identity.Workload{}, fmt.Errorf("review token: %w", err)
	}
	status := review.Status
	// An API server that knows nothing of audiences would leave out the list, and
	// take any token.
	if !status.Authenticated || !slices.Contains(status.Audiences, audience) {
		return identity.Workload{}, identity.Refuse(identity.ReasonToken, "the API server does not stand for the token and the audience %q: %s", audience, status.Error)
	}
	namespace, account, ok := serviceAccount(status.User.Username)
	if !ok {
		return identity.Workload{}, identity.Refuse(identity.ReasonToken, "the token is %q's, who is no ServiceAccount", status.User.Username)
	}
	w := identity.Workload{
		ID:     identity.ID{TrustDomain: b.authority.trustDomain, Namespace: namespace, ServiceAccount: account},
		PodUID: one(status.User.Extra[claimPodUID]),
	}
	name := one(status.User.Extra[claimPodName])
	if name == "" || w.PodUID == "" {
		return w, identity.Refuse(identity.ReasonToken, "the token is not bound to a pod")
	}
	_, err := b.find(ctx, types.NamespacedName{Namespace: namespace, Name: name}, types.UID(w.PodUID), account)
	return w, err
}

// serviceAccount splits the name that the API server gives ServiceAccounts.
func serviceAccount(username string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(username, "system:serviceaccount:")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

func one(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// find returns the pod if it is the one meant, runs under that ServiceAccount, and
// has not ended. A pod that the cache does not have like that is looked up at the
// API server: it may be seconds old.
func (b *podBinding) find(ctx context.Context, key types.NamespacedName, uid types.UID, account string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	err := b.cache.Get(ctx, key, pod)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("get pod: %w", err)
	}
	if err != nil || pod.UID != uid {
		pod = &corev1.Pod{}
		err = b.live.Get(ctx, key, pod)
		if apierrors.IsNotFound(err) {
			return nil, identity.Refuse(identity.ReasonNoPod, "pod %s does not exist", key)
		}
		if err != nil {
			return nil, fmt.Errorf("get pod live: %w", err)
		}
	}
	switch {
	case pod.UID != uid:
		return nil, identity.Refuse(identity.ReasonOtherPod, "pod %s is not the one that this was made for: its UID is another", key)
	case pod.Spec.ServiceAccountName != account:
		return nil, identity.Refuse(identity.ReasonServiceAccount, "pod %s runs under ServiceAccount %q, not %q", key, pod.Spec.ServiceAccountName, account)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return nil, identity.Refuse(identity.ReasonNoPod, "pod %s has ended", key)
	}
	return pod, nil
}

// Admit says whether the peer of a stream is the pod that the node's id names, and
// the kind of proxy that it says it is. It is the xDS server's option of that name.
func (b *podBinding) Admit(ctx context.Context, node *corev3.Node) error {
	err := b.admit(ctx, node)
	if err == nil {
		return nil
	}
	reason := identity.ReasonOf(err)
	b.meters.refused(reason)
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	b.log.Info("Refused a proxy", "from", from, "node", node.GetId(), "cluster", node.GetCluster(), "reason", string(reason), "why", err.Error())
	if reason == identity.ReasonInternal {
		return errors.New("the controller cannot tell who this is now, come again")
	}
	return err
}

func (b *podBinding) admit(ctx context.Context, node *corev3.Node) error {
	who, err := b.peer(ctx)
	if err != nil {
		return err
	}
	namespace, name, ok := strings.Cut(node.GetId(), "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return identity.Refuse(identity.ReasonMalformed, "node id %.300q: want <namespace>/<pod>", node.GetId())
	}
	if namespace != who.ID.Namespace {
		return identity.Refuse(identity.ReasonServiceAccount, "node id %.300q is in another namespace than %s", node.GetId(), who.ID)
	}
	pod, err := b.find(ctx, types.NamespacedName{Namespace: namespace, Name: name}, types.UID(who.PodUID), who.ID.ServiceAccount)
	if err != nil {
		return err
	}
	return b.checkKind(node.GetCluster(), pod)
}

// peer is who is at the other end, by the certificate that it has shown.
func (b *podBinding) peer(ctx context.Context) (identity.Peer, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity.Peer{}, identity.Refuse(identity.ReasonNoCertificate, "the peer of the stream is not known")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return identity.Peer{}, identity.Refuse(identity.ReasonNoCertificate, "the stream is not encrypted")
	}
	return b.authority.trust().Verify(info.State.PeerCertificates, b.authority.now())
}

// checkKind keeps pods from posing as gateways, whose confirmation rollouts wait
// for: the label alone anybody can give to his pods.
func (b *podBinding) checkKind(cluster string, pod *corev1.Pod) error {
	kind, rest, _ := strings.Cut(cluster, "/")
	label := pod.Labels[v1alpha1.LabelProxy]
	switch kind {
	case v1alpha1.ProxyGateway:
		if label != kind || pod.Namespace != b.gateway.Namespace {
			return identity.Refuse(identity.ReasonKind, "pod %s/%s is no gateway of %s", pod.Namespace, pod.Name, b.gateway)
		}
	case v1alpha1.ProxySidecar:
		if label != kind || rest != pod.Namespace {
			return identity.Refuse(identity.ReasonKind, "pod %s/%s is no sidecar of the namespace %.300q", pod.Namespace, pod.Name, rest)
		}
	}
	return nil
}
