package controllers

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// The two Secrets of the authority. The first one is the administrator's, if he
// wants it; the second one is ours alone, so that a root that is replaced goes on
// signing until everybody believes the next.
const (
	secretWanted  = "crossfade-ca"
	secretSigning = "crossfade-signer"
)

// annotationOurs on the first Secret is the fingerprint of a root that we made.
// What somebody else has put there since has another one.
const annotationOurs = "crossfade.dev/root"

// lookEvery is how often each replica looks at the Secrets. They change once in
// years, and identity.Lifetimes.Spread is much longer: a watch would not be worth
// the right to list Secrets.
const lookEvery = 5 * time.Second

// authorityLoop keeps an Authority in step with the Secrets; at the leader it also
// carries a replacement of the root through.
type authorityLoop struct {
	authority *Authority
	client    client.Client
	live      client.Reader
	namespace string
	every     time.Duration
	leads     <-chan struct{}
	// published says whether every trust bundle in the cluster holds these roots.
	published func(ctx context.Context, bundle []byte) (bool, error)
	log       logr.Logger
	// said is the last problem that was logged: it stays the same for long.
	said string
}

// NeedLeaderElection is false: every replica signs.
func (l *authorityLoop) NeedLeaderElection() bool { return false }

// Start looks again and again until ctx ends.
func (l *authorityLoop) Start(ctx context.Context) error {
	ticker := time.NewTicker(l.every) //nolint:forbidigo // The loop's own pace; what it decides by is Authority.now.
	defer ticker.Stop()
	for {
		if err := l.look(ctx); err != nil {
			l.tell(fmt.Sprintf("look at the mesh's root: %v", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (l *authorityLoop) tell(problem string) {
	if problem != l.said {
		l.log.Info("The mesh's root has a problem", "problem", problem)
	}
	l.said = problem
}

// secrets are the two Secrets as they were read; nil where there is none.
type secrets struct {
	wanted, signing *corev1.Secret
}

// look reads the Secrets, takes the step that is due, and writes it down before it
// is acted on.
func (l *authorityLoop) look(ctx context.Context) error {
	found, state, problem, err := l.read(ctx)
	if err != nil {
		return err
	}
	if state, err = l.advance(ctx, found, state, problem); err != nil {
		return err
	}
	l.authority.set(state)
	l.tell(problem)
	return nil
}

// advance goes one step on, where that is this replica's to do: a mesh without any
// root every replica may give one, since only one of them can create a Secret, and
// a standby that waits for a leader's could keep that leader from coming up.
func (l *authorityLoop) advance(ctx context.Context, found secrets, state identity.State, problem string) (identity.State, error) {
	if problem != "" && state.Signing.IsZero() {
		return state, fmt.Errorf("nothing can be signed: %s", problem)
	}
	if !state.Signing.IsZero() && !l.leading() {
		return state, nil
	}
	published, err := l.published(ctx, identity.EncodeCertificates(state.Bundle(l.authority.now())))
	if err != nil {
		return state, err
	}
	next, err := state.Next(identity.Step{
		Now: l.authority.now(), Published: published,
		TrustDomain: l.authority.trustDomain, Lifetimes: l.authority.lifetimes, Random: l.authority.random,
	})
	if err != nil {
		return state, err
	}
	return next, l.write(ctx, found, next)
}

func (l *authorityLoop) leading() bool {
	select {
	case <-l.leads:
		return true
	default:
		return false
	}
}

// read returns what the Secrets say, and, as a sentence, what is wrong with the
// administrator's: then it is as if he had not replaced the root.
func (l *authorityLoop) read(ctx context.Context) (found secrets, state identity.State, problem string, err error) {
	if found.wanted, err = l.get(ctx, secretWanted); err != nil {
		return found, state, "", err
	}
	if found.signing, err = l.get(ctx, secretSigning); err != nil {
		return found, state, "", err
	}
	if s := found.signing; s != nil {
		if state, err = state.DecodeSigning(s.Data); err != nil {
			return found, state, "", fmt.Errorf("read Secret %s: %w", secretSigning, err)
		}
	}
	if s := found.wanted; s != nil {
		wanted, err := identity.ParseIssuer(s.Data[identity.KeyCertificate], s.Data[identity.KeyPrivate], s.Data[identity.KeyRoots])
		switch {
		case err != nil:
			problem = fmt.Sprintf("Secret %s cannot be used: %v", secretWanted, err)
		case !l.authority.now().Before(wanted.NotAfter()):
			problem = fmt.Sprintf("Secret %s cannot be used: its certificate's time is over", secretWanted)
		case wanted.Fingerprint() != state.Signing.Fingerprint():
			if err := l.authority.try(wanted); err != nil {
				problem = fmt.Sprintf("Secret %s cannot be used: %v", secretWanted, err)
			}
		}
		if problem != "" {
			state.Wanted = state.Signing
			return found, state, problem, nil
		}
		state.Wanted, state.Ours = wanted, s.Annotations[annotationOurs] == wanted.Fingerprint()
	}
	return found, state, "", nil
}

func (l *authorityLoop) get(ctx context.Context, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := l.live.Get(ctx, types.NamespacedName{Namespace: l.namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get Secret %s: %w", name, err)
	}
	return s, nil
}

// write brings the Secrets to a state, the administrator's first: a root that
// signs and is written nowhere would be lost with this process.
func (l *authorityLoop) write(ctx context.Context, found secrets, state identity.State) error {
	if state.Ours && (found.wanted == nil || found.wanted.Annotations[annotationOurs] != state.Wanted.Fingerprint()) {
		certificate, key, roots, err := state.Wanted.Encode()
		if err != nil {
			return err
		}
		if err := l.put(ctx, found.wanted, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: secretWanted, Annotations: map[string]string{annotationOurs: state.Wanted.Fingerprint()}},
			Type:       corev1.SecretTypeTLS,
			Data:       map[string][]byte{identity.KeyCertificate: certificate, identity.KeyPrivate: key, identity.KeyRoots: roots},
		}); err != nil {
			return err
		}
		l.log.Info("Made a root", "fingerprint", state.Wanted.Fingerprint(), "until", state.Wanted.NotAfter().String())
	}
	data, err := state.EncodeSigning()
	if err != nil {
		return err
	}
	if found.signing != nil && maps.EqualFunc(data, found.signing.Data, func(a, b []byte) bool { return string(a) == string(b) }) {
		return nil
	}
	if err := l.put(ctx, found.signing, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretSigning}, Type: corev1.SecretTypeOpaque, Data: data,
	}); err != nil {
		return err
	}
	l.log.Info("The mesh's roots", "signs", state.Signing.Fingerprint(), "successor", state.Successor,
		"publishedAt", state.PublishedAt.String(), "former", len(state.Former))
	return nil
}

// put creates a Secret, or replaces what was read: somebody else's write in between
// is a conflict, and looked at first.
func (l *authorityLoop) put(ctx context.Context, found, want *corev1.Secret) error {
	want.Namespace, want.Labels = l.namespace, partOf()
	if found == nil {
		if err := l.client.Create(ctx, want); err != nil {
			return fmt.Errorf("create Secret %s: %w", want.Name, err)
		}
		return nil
	}
	s := found.DeepCopy()
	s.Data = want.Data
	for key, value := range want.Annotations {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, key, value)
	}
	if err := l.client.Update(ctx, s); err != nil {
		return fmt.Errorf("update Secret %s: %w", want.Name, err)
	}
	return nil
}

func partOf() map[string]string { return map[string]string{"app.kubernetes.io/part-of": "crossfade"} }
