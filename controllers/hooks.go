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
	// done wakes the Rollout whose answer has come.
	done func(types.NamespacedName)
	all  chan struct{}

	mu         sync.Mutex
	namespaces map[string]*lane
	rollouts   map[types.NamespacedName]*hookCalls
}

// lane bounds what is asked at once for one namespace; it goes with its last user.
type lane struct {
	slots chan struct{}
	users int
}

// hookCalls of one Rollout: questions under way, and the answers that no decision has
// seen yet.
type hookCalls struct {
	uid     types.UID
	context context.Context
	cancel  context.CancelFunc
	asked   map[delivery.Question]bool
	answers []delivery.HookAnswer
}

func newAsker(p poster, j *jobs, live client.Reader, now func() time.Time, done func(types.NamespacedName)) *asker {
	return &asker{
		poster: p, jobs: j, live: live, now: now, done: done, all: make(chan struct{}, askedAtOnce),
		namespaces: map[string]*lane{}, rollouts: map[types.NamespacedName]*hookCalls{},
	}
}

// answered are the answers that no decision has seen.
func (a *asker) answered(ro *v1alpha1.Rollout) []delivery.HookAnswer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.rollouts[keyOf(ro)]; q != nil && q.uid == ro.UID {
		return append([]delivery.HookAnswer(nil), q.answers...)
	}
	return nil
}

// seen forgets answers that are written. Before that a conflict would lose them.
func (a *asker) seen(ro *v1alpha1.Rollout, answers []delivery.HookAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.rollouts[keyOf(ro)]
	if q == nil || q.uid != ro.UID {
		return
	}
	for i := range answers {
		delete(q.asked, answers[i].Question)
	}
	q.answers = q.answers[min(len(answers), len(q.answers)):]
	if len(q.asked) == 0 && len(q.answers) == 0 {
		a.drop(keyOf(ro))
	}
}

// forget ends what is under way for a Rollout that is gone.
func (a *asker) forget(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(key)
}

func (a *asker) drop(key types.NamespacedName) {
	if q := a.rollouts[key]; q != nil {
		q.cancel()
		delete(a.rollouts, key)
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

func (a *asker) claim(ctx context.Context, ro *v1alpha1.Rollout, q delivery.Question) *hookCalls {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := keyOf(ro)
	if of := a.rollouts[key]; of != nil && of.uid != ro.UID {
		a.drop(key)
	}
	of := a.rollouts[key]
	if of == nil {
		of = &hookCalls{uid: ro.UID, asked: map[delivery.Question]bool{}}
		of.context, of.cancel = context.WithCancel(ctx)
		a.rollouts[key] = of
	}
	if of.asked[q] {
		return nil
	}
	of.asked[q] = true
	return of
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
	a.keep(of, ro, answer)
}

// keep holds an answer until a decision has seen it.
func (a *asker) keep(of *hookCalls, ro *v1alpha1.Rollout, answer delivery.HookAnswer) {
	a.mu.Lock()
	of.answers = append(of.answers, answer)
	a.mu.Unlock()
	if of.context.Err() == nil {
		a.done(keyOf(ro))
	}
}

// release lets a question be asked again that has no answer yet.
func (a *asker) release(of *hookCalls, q delivery.Question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(of.asked, q)
}

// enter waits for a place, first in the namespace's lane and then among all.
func (a *asker) enter(ctx context.Context, namespace string) (leave func(), ok bool) {
	a.mu.Lock()
	l := a.namespaces[namespace]
	if l == nil {
		l = &lane{slots: make(chan struct{}, askedAtOnceNamespace)}
		a.namespaces[namespace] = l
	}
	l.users++
	a.mu.Unlock()
	release := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
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
