package outcome

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
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
			pause(ctx, restAfterWake)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
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
		r := s.Family.Rollout
		words := []string{orUnseen(r.Status.Phase)}
		if r.Status.StepSummary != "" {
			words = append(words, "step "+r.Status.StepSummary)
		}
		if checks := verdicts(r); checks != "" {
			words = append(words, checks)
		}
		text = strings.Join(words, ", ") + ": " + f.Message
	}
	if text == l.said {
		return
	}
	l.said = text
	l.say(Change{At: s.At, Text: text})
}

func orUnseen(phase v1alpha1.Phase) string {
	if phase == "" {
		return "Unseen"
	}
	return string(phase)
}

// verdicts are those of checks that are worth a line: no numbers, which change all
// the time.
func verdicts(r *v1alpha1.Rollout) string {
	var words []string
	for _, c := range r.Status.Checks {
		switch c.Verdict {
		case v1alpha1.VerdictFailing, v1alpha1.VerdictFailed, v1alpha1.VerdictNoVerdict:
			words = append(words, fmt.Sprintf("check %s %s", c.Name, c.Verdict))
		case v1alpha1.VerdictPending, v1alpha1.VerdictPassing:
		}
	}
	return strings.Join(words, ", ")
}
