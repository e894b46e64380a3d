package outcome

import (
	"context"
	"fmt"
	"time"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
)

const (
	// lookTime bounds one look: an API server that accepts a connection and never
	// answers must not take the whole time.
	lookTime = 15 * time.Second
	// lookEvery is how often is looked when nothing wakes us: a watch may be dead and
	// not know it.
	lookEvery = 5 * time.Second
	// againAfter is the time to the next look after a trouble.
	againAfter = time.Second
	// restAfterWake lets several changes in a row be one look.
	restAfterWake = 200 * time.Millisecond
)

// loop looks until there is an outcome or the time is over.
type loop struct {
	// look sees what there is now; wake starts what tells of changes until ctx ends.
	look    func(context.Context) Sight
	wake    func(context.Context) <-chan struct{}
	judge   Judge
	now     func() time.Time
	timeout time.Duration
	// query finds what a failed check asked.
	query func(context.Context, Sight, Finding) string
	// say tells of a change.
	say func(Change)

	said string
}

// run ends within the timeout, whatever look does: it is not waited for beyond that.
func (l *loop) run(parent context.Context) (Finding, error) {
	ctx, cancel := context.WithTimeout(parent, l.timeout)
	defer cancel()
	woken := l.wake(ctx)
	for {
		sight, ok := l.lookOnce(ctx)
		if !ok {
			return l.over(parent)
		}
		sight.At = l.now()
		var finding Finding
		l.judge, finding = l.judge.Look(sight)
		if finding.Verdict != Waiting {
			if finding.Check != nil {
				finding.Check.Query = l.query(ctx, sight, finding)
			}
			return finding, nil
		}
		l.tell(sight, finding)
		rest := lookEvery
		if sight.Trouble != "" {
			rest = againAfter
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return l.over(parent)
		case <-timer.C:
		case <-woken:
			timer.Stop()
			rollouts.Pause(ctx, restAfterWake)
		}
	}
}

// over is the end of the time, or of the program by a signal.
func (l *loop) over(parent context.Context) (Finding, error) {
	if parent.Err() != nil {
		return Finding{}, fmt.Errorf("interrupted; the rollout goes on")
	}
	return l.judge.Timeout(l.timeout), nil
}

// lookOnce looks beside this goroutine: a credential plugin that hangs, say, does not
// know of contexts.
func (l *loop) lookOnce(ctx context.Context) (Sight, bool) {
	answer := make(chan Sight, 1)
	go func() {
		bounded, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		answer <- l.look(bounded)
	}()
	select {
	case <-ctx.Done():
		return Sight{}, false
	case sight := <-answer:
		return sight, ctx.Err() == nil
	}
}

// tell says what changed since the last look, one line each.
func (l *loop) tell(s Sight, f Finding) {
	text := f.Message
	if s.Family != nil {
		text = rollouts.Headline(s.Family.Rollout) + ": " + f.Message
	}
	if text == l.said {
		return
	}
	l.said = text
	l.say(Change{At: s.At, Text: text})
}
