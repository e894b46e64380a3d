package controllers

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/delivery"
)

// Bounds of what is asked at once. A namespace has its own, so that somebody's slow
// hosts hold up nobody else's.
const (
	askedAtOnce          = 256
	askedAtOnceNamespace = 8
)

const defaultHookTimeout = 10 * time.Second

// poster sends one question and returns one answer.
type poster interface {
	Post(ctx context.Context, t outbound.Target, body []byte, headers http.Header, timeout time.Duration) outbound.Answer
	CheckURL(u *url.URL) error
}

// asker asks hooks, outside the reconcile loop: a slow host must not hold up a
// rollback of somebody else.
type asker struct {
	poster poster
	jobs   *jobs
	// live reads a Service and its addresses at the time of a question.
	live client.Reader
	now  func() time.Time
	*pending[delivery.Question, delivery.HookAnswer]
	// refused is what is wrong with hooks already by what they say.
	refused *perGeneration[*delivery.Refusal]
	all     chan struct{}

	lanes      sync.Mutex
	namespaces map[string]*lane
}

// hookCalls are the questions of one Rollout.
type hookCalls = calls[delivery.Question, delivery.HookAnswer]

// lane bounds what is asked at once for one namespace; it goes with its last user.
type lane struct {
	slots chan struct{}
	users int
}

func newAsker(p poster, j *jobs, live client.Reader, now func() time.Time, wake func(types.NamespacedName)) *asker {
	about := func(a delivery.HookAnswer) delivery.Question { return a.Question }
	return &asker{
		poster: p, jobs: j, live: live, now: now, pending: newPending(about, wake), all: make(chan struct{}, askedAtOnce),
		namespaces: map[string]*lane{}, refused: newPerGeneration(func(ro *v1alpha1.Rollout) *delivery.Refusal { return forbiddenHook(ro, p) }),
	}
}

// ask asks what is not under way yet; the context is the controller's.
func (a *asker) ask(ctx context.Context, ro *v1alpha1.Rollout, due []delivery.Question) {
	for _, q := range due {
		hook := hookNamed(ro, q.Hook)
		if hook == nil {
			continue
		}
		switch of := a.claim(ctx, ro, q); {
		case of == nil:
		case hook.HTTP != nil:
			go a.question(of, ro, hook.HTTP, q)
		default:
			go a.runHook(of, ro, hook, q)
		}
	}
}

func hookNamed(ro *v1alpha1.Rollout, name string) *v1alpha1.Hook {
	for i := range ro.Spec.Hooks {
		if ro.Spec.Hooks[i].Name == name {
			return &ro.Spec.Hooks[i]
		}
	}
	return nil
}

// question asks once, when it is its turn.
func (a *asker) question(of *hookCalls, ro *v1alpha1.Rollout, hook *v1alpha1.HTTPHook, q delivery.Question) {
	leave, ok := a.enter(of.context, ro.Namespace)
	if !ok {
		return
	}
	answer := a.post(of.context, ro, hook, q)
	leave()
	answer.Question, answer.Came = q, a.now()
	a.keep(of, answer)
}

// enter waits for a place, first in the namespace's lane and then among all.
func (a *asker) enter(ctx context.Context, namespace string) (leave func(), ok bool) {
	a.lanes.Lock()
	l := a.namespaces[namespace]
	if l == nil {
		l = &lane{slots: make(chan struct{}, askedAtOnceNamespace)}
		a.namespaces[namespace] = l
	}
	l.users++
	a.lanes.Unlock()
	release := func() {
		a.lanes.Lock()
		defer a.lanes.Unlock()
		if l.users--; l.users == 0 {
			delete(a.namespaces, namespace)
		}
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		release()
		return nil, false
	}
	select {
	case a.all <- struct{}{}:
	case <-ctx.Done():
		<-l.slots
		release()
		return nil, false
	}
	return func() {
		<-a.all
		<-l.slots
		release()
	}, true
}
