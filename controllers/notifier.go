package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/delivery"
)

// The time between two tries to send a notice grows from the first to the second.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// noticeLife is how long a target may be away before a notice is given up: after
	// that it is no news any more.
	noticeLife = 24 * time.Hour
	// maxSending bounds the tries under way, all Rollouts together.
	maxSending = 16
)

// sender makes one try to tell a target.
type sender interface {
	Send(ctx context.Context, target string, m notify.Message) error
}

// notifier sends the notices that stand in statuses, beside the loop: a target that is
// away must not hold up a rollout. What it knows is only which tries are under way; a
// successor begins from the statuses again, so a target may hear of something twice
// when a controller ends between the target's answer and the write of it.
type notifier struct {
	sender sender
	now    func() time.Time
	// done wakes the Rollout of whose notice something is known.
	done func(types.NamespacedName)
	// first is firstRetry, but for tests.
	first time.Duration
	slots chan struct{}

	mu       sync.Mutex
	rollouts map[types.NamespacedName]*outbox
}

// outbox is what is known of the notices of one Rollout.
type outbox struct {
	sending map[delivery.Told]bool
	told    []delivery.Told
}

func newNotifier(s sender, now func() time.Time, done func(types.NamespacedName)) *notifier {
	return &notifier{
		sender: s, now: now, done: done, first: firstRetry,
		slots: make(chan struct{}, maxSending), rollouts: map[types.NamespacedName]*outbox{},
	}
}

// told are the notices that no decision has taken out of the status yet.
func (n *notifier) told(ro *v1alpha1.Rollout) []delivery.Told {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.rollouts[keyOf(ro)]; b != nil {
		return slices.Clone(b.told)
	}
	return nil
}

// seen forgets what is written in the status by now.
func (n *notifier) seen(ro *v1alpha1.Rollout, told []delivery.Told) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.rollouts[keyOf(ro)]
	if b == nil {
		return
	}
	for _, t := range told {
		delete(b.sending, delivery.Told{ID: t.ID, Target: t.Target})
	}
	b.told = b.told[min(len(told), len(b.told)):]
	if len(b.sending) == 0 {
		delete(n.rollouts, keyOf(ro))
	}
}

// send begins to tell what a status says has to be told.
func (n *notifier) send(ctx context.Context, ro *v1alpha1.Rollout, notices []v1alpha1.Notice) {
	for i := range notices {
		for _, target := range notices[i].Pending {
			if n.claim(keyOf(ro), delivery.Told{ID: notices[i].ID, Target: target}) {
				go n.deliver(ctx, ro, notices[i], target)
			}
		}
	}
}

func (n *notifier) claim(key types.NamespacedName, t delivery.Told) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.rollouts[key]
	if b == nil {
		b = &outbox{sending: map[delivery.Told]bool{}}
		n.rollouts[key] = b
	}
	if b.sending[t] {
		return false
	}
	b.sending[t] = true
	return true
}

// deliver tries until the target has taken the notice or it is given up.
func (n *notifier) deliver(ctx context.Context, ro *v1alpha1.Rollout, notice v1alpha1.Notice, target string) {
	message := notify.Message{
		ID: notice.ID, On: string(notice.On), Namespace: ro.Namespace, Rollout: ro.Name, UID: string(ro.UID),
		Revision: notice.Revision, Stable: notice.Stable, Step: notice.Step, Text: notice.Message, At: notice.At.Time,
	}
	told := delivery.Told{ID: notice.ID, Target: target}
	for wait := n.first; ; wait = min(2*wait, lastRetry) {
		err := n.try(ctx, target, message)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, notify.ErrNoTarget) || n.now().Sub(notice.At.Time) > noticeLife || !n.wanted(keyOf(ro)) {
			told.Failed = err.Error()
			break
		}
		log.FromContext(ctx).Info("Could not tell a target, trying again", "namespace", ro.Namespace, "rollout", ro.Name, "target", target, "in", wait.String(), "why", err.Error())
		if !pause(ctx, wait) {
			return
		}
	}
	n.mu.Lock()
	if b := n.rollouts[keyOf(ro)]; b != nil {
		b.told = append(b.told, told)
	}
	n.mu.Unlock()
	n.done(keyOf(ro))
}

// pause says whether the time went by before ctx ended.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait) //nolint:forbidigo // it spaces tries; nothing is decided by it
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (n *notifier) try(ctx context.Context, target string, m notify.Message) error {
	select {
	case n.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-n.slots }()
	return n.sender.Send(ctx, target, m)
}

// wanted says that the Rollout has not been forgotten.
func (n *notifier) wanted(key types.NamespacedName) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rollouts[key] != nil
}

// forget ends the retries for a Rollout that is gone.
func (n *notifier) forget(key types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.rollouts, key)
}
