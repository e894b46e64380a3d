package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

// judge prints the tables, and says whether all was as it should be.
func (p *play) judge() error {
	p.title("What was counted")
	for _, a := range p.acts {
		p.table(a)
	}
	good, bad := p.acts[0], p.acts[1]
	p.expect(len(good.windows) >= 3, "the good version went through %d weights, not through three steps", len(good.windows))
	p.expect(len(good.counts.Own) == 0, "in the good rollout versions answered with errors: %v", good.counts)
	p.expect(len(bad.windows) >= 1, "the bad version never had a confirmed weight")
	for version, n := range bad.counts.Own {
		p.expect(version == bad.version, "%d requests were answered with errors by %s, which has no bug", n, version)
	}
	for _, a := range p.acts {
		p.expect(a.counts.Lost == 0, "%s: %d requests were lost:\n%s", a.title, a.counts.Lost, load.Describe(a.counts.Failures))
	}
	p.reaction(bad)
	if len(p.wrong) > 0 {
		return fmt.Errorf("not as it should be:\n- %s", strings.Join(p.wrong, "\n- "))
	}
	p.invite()
	return nil
}

// table shows one act: who answered at which weight.
func (p *play) table(a act) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "step\tweight\ttime\tsent\t%s\t%s\tshare of %s\tby chance\tfailed\t\n", a.stable, a.version, a.version)
	samples := p.samples()
	row := func(step, weight string, took time.Duration, c load.Counts, share, chance string) {
		failed := fmt.Sprint(c.Lost)
		if own := c.Own[a.version]; own > 0 {
			failed += fmt.Sprintf(" + %d by %s itself", own, a.version)
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f s\t%d\t%d\t%d\t%s\t%s\t%s\t\n", step, weight, took.Seconds(), c.Requests,
			c.Versions[a.stable], c.Versions[a.version], share, chance, failed)
	}
	for _, window := range a.windows {
		c, want := load.Count(load.Between(samples, window.From, window.To), time.Time{}, time.Time{}), float64(window.Weight)/100
		row(window.Step, fmt.Sprintf("%d %%", window.Weight), window.To.Sub(window.From), c,
			fmt.Sprintf("%.1f %%", 100*c.Share(a.version)), fmt.Sprintf("± %.1f %%", 100*c.Tolerance(want)))
		p.expect(c.Within(a.version, want), "%s at weight %d: %s got %.1f %% of %d requests, by chance that is off by at most %.1f %%",
			a.title, window.Weight, a.version, 100*c.Share(a.version), c.Requests, 100*c.Tolerance(want))
	}
	row("all", "", a.to.Sub(a.from), a.counts, "", "")
	_ = w.Flush() // into memory
	p.line("\n%s (%s → %s)\n%s", a.title, a.stable, a.version, strings.TrimRight(b.String(), "\n"))
}

// reaction tells how fast the bad version was taken back.
func (p *play) reaction(a act) {
	first, last := firstOwn(p.samples(), a), a.counts.Last[a.version]
	p.expect(!a.zero.IsZero(), "the status never said that the bad version gets nothing any more")
	p.line("\nFrom the bad version's first bad answer to weight zero at all proxies: %.1f s; its last answer came %.1f s after the first bad one.",
		a.zero.Sub(first).Seconds(), last.Sub(first).Seconds())
	p.line("Of %d requests in that time it got %d, and answered %d of them with an error. The check allows %.0f %%, over 5 s, twice.",
		load.Count(p.samples(), first, a.zero).Requests, load.Count(p.samples(), first, a.zero).Versions[a.version], a.counts.Own[a.version], 100*maxError)
	p.expect(!last.After(a.zero), "the bad version still answered %s after all proxies had confirmed weight zero", last.Sub(a.zero))
}

func firstOwn(samples []load.Sample, a act) time.Time {
	first := a.to
	for _, s := range samples {
		if s.Own() && s.Version == a.version && !s.At.Before(a.from) && s.At.Before(first) {
			first = s.At
		}
	}
	return first
}

// invite says how to go on.
func (p *play) invite() {
	p.title(fmt.Sprintf("All as it should be (%.0f s). The cluster stays up; go on with", time.Since(p.begin).Seconds()))
	p.line(`export KUBECONFIG=%s
export PATH=%s/.local/bin:$PATH
kubectl -n shop get rollout payments -o wide --watch      # in a second terminal
kubectl -n shop set image deployment/payments payments=crossfade.local/shop:v2   # back to the stable version
kubectl -n shop set image deployment/payments payments=crossfade.local/shop:v1   # a delivery like the first
kubectl -n shop describe rollout payments
curl -si -H 'Host: %s' http://%s/
make cluster-down INSTANCE=%s`, p.kubeconfig, p.root, host, p.address, p.instance)
}
