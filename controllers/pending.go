package controllers

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// pending is what goes on beside the loop for each Rollout: the questions that are under
// way, so that none is asked twice, and the answers that no decision has seen, so that
// neither a conflict nor a crash of one pass loses them.
type pending[Q comparable, A any] struct {
	// about is the question that an answer answers.
	about func(A) Q
	// wake has the Rollout looked at whose answer has come.
	wake func(types.NamespacedName)

	mu       sync.Mutex
	rollouts map[types.NamespacedName]*calls[Q, A]
}

// calls of one Rollout.
type calls[Q comparable, A any] struct {
	key types.NamespacedName
	uid types.UID
	// context ends with the controller, and when the Rollout is gone.
	context context.Context
	cancel  context.CancelFunc
	asked   map[Q]bool
	answers []A
}

func newPending[Q comparable, A any](about func(A) Q, wake func(types.NamespacedName)) *pending[Q, A] {
	return &pending[Q, A]{about: about, wake: wake, rollouts: map[types.NamespacedName]*calls[Q, A]{}}
}

// answered are the answers that no decision has seen.
func (p *pending[Q, A]) answered(ro *v1alpha1.Rollout) []A {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.of(ro); c != nil {
		return slices.Clone(c.answers)
	}
	return nil
}

// seen forgets answers that are written.
func (p *pending[Q, A]) seen(ro *v1alpha1.Rollout, answers []A) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.of(ro)
	if c == nil {
		return
	}
	for _, a := range answers {
		delete(c.asked, p.about(a))
	}
	c.answers = c.answers[min(len(answers), len(c.answers)):]
	if len(c.asked) == 0 && len(c.answers) == 0 {
		p.drop(c.key)
	}
}

// claim is nil when a question is under way already, or its answer is not seen yet. The
// context is the controller's.
func (p *pending[Q, A]) claim(ctx context.Context, ro *v1alpha1.Rollout, q Q) *calls[Q, A] {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.of(ro)
	if c == nil {
		p.drop(keyOf(ro)) // Of another Rollout that had this name.
		c = &calls[Q, A]{key: keyOf(ro), uid: ro.UID, asked: map[Q]bool{}}
		c.context, c.cancel = context.WithCancel(ctx)
		p.rollouts[c.key] = c
	}
	if c.asked[q] {
		return nil
	}
	c.asked[q] = true
	return c
}

// keep holds an answer until a decision has seen it.
func (p *pending[Q, A]) keep(c *calls[Q, A], answer A) {
	p.mu.Lock()
	c.answers = append(c.answers, answer)
	p.mu.Unlock()
	if c.context.Err() == nil {
		p.wake(c.key)
	}
}

// release lets a question be asked again that has no answer yet.
func (p *pending[Q, A]) release(c *calls[Q, A], q Q) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(c.asked, q)
}

// forget ends what is under way for a Rollout that is gone.
func (p *pending[Q, A]) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(key)
}

func (p *pending[Q, A]) of(ro *v1alpha1.Rollout) *calls[Q, A] {
	if c := p.rollouts[keyOf(ro)]; c != nil && c.uid == ro.UID {
		return c
	}
	return nil
}

func (p *pending[Q, A]) drop(key types.NamespacedName) {
	if c := p.rollouts[key]; c != nil {
		c.cancel()
		delete(p.rollouts, key)
	}
}
