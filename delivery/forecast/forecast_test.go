package forecast

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func to[T any](v T) *T { return &v }

func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func rollout(s v1alpha1.Strategy) *v1alpha1.Rollout {
	return &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments"}, Spec: v1alpha1.RolloutSpec{
		Strategy: s,
		Analysis: &v1alpha1.Analysis{Interval: metav1.Duration{Duration: 30 * time.Second}, Checks: []v1alpha1.Check{
			{Name: "errors", InitialDelay: lasting(time.Minute)}, {Name: "dry", DryRun: true, InitialDelay: lasting(time.Hour)},
		}},
	}}
}

func canary(steps ...v1alpha1.Step) v1alpha1.Strategy {
	return v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: steps}}
}

func step(weight int32, pause *v1alpha1.Pause) v1alpha1.Step {
	return v1alpha1.Step{Weight: &weight, Pause: pause}
}

// evening opens at 18:00 for what begins before.
func evening(m Moment, at time.Time) (time.Time, string) {
	opens := noon.Add(6 * time.Hour)
	if m == BeforePromotion && at.Before(opens) {
		return opens, "waits for the window 0 18 * * *"
	}
	return at, ""
}

func never(m Moment, at time.Time) (time.Time, string) {
	if m == BeforeStep {
		return time.Time{}, "waits for somebody to delete Freeze winter"
	}
	return at, ""
}

// TestForecastGolden: the goldens can be read aloud, one file per delivery.
func TestForecastGolden(t *testing.T) {
	two := canary(step(5, &v1alpha1.Pause{Duration: lasting(2 * time.Minute)}), step(50, &v1alpha1.Pause{}))
	match := []v1alpha1.RequestMatch{{
		Headers: []v1alpha1.ValueMatch{{Name: "x-team", Value: to("checkout")}, {Name: "x-beta", Type: v1alpha1.MatchPresent}},
	}, {Cookies: []v1alpha1.ValueMatch{{Name: "beta", Type: v1alpha1.MatchPrefix, Value: to("1")}}}}
	tests := map[string]struct {
		reason string
		in     Input
	}{
		"canary": {
			reason: "The first pod starts alone; a person bounds nothing from above; the dry run delays nothing.",
			in:     Input{Rollout: rollout(two), Replicas: 10, Startup: 5 * time.Second, Rate: to(40.0)},
		},
		"unknown-rate": {reason: "Without a rate there are no requests.", in: Input{Rollout: rollout(two), Replicas: 10}},
		"no-pause": {
			reason: "A step without a pause lasts until its checks are measured once.",
			in:     Input{Rollout: rollout(canary(step(10, nil))), Replicas: 1, Rate: to(10.0)},
		},
		"window": {
			reason: "The promotion waits for the evening, and the step before is served until then.",
			in:     Input{Rollout: rollout(canary(step(10, nil), step(50, nil))), Replicas: 4, Opens: evening, Rate: to(1.0)},
		},
		"never": {
			reason: "What never opens is not promoted.",
			in:     Input{Rollout: rollout(canary(step(10, nil), step(50, nil))), Replicas: 4, Opens: never},
		},
		"match-and-mirror": {
			reason: "Requests by a match, and copies.",
			in: Input{Rollout: rollout(canary(
				v1alpha1.Step{Mirror: &v1alpha1.Mirror{Percent: 20}}, v1alpha1.Step{Match: match}, step(50, nil),
			)), Replicas: 4, Rate: to(10.0)},
		},
		"blue-green": {
			reason: "Whole before the switch, verified after it.",
			in: Input{Rollout: rollout(v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{
				AutoPromote: true, Hold: &v1alpha1.Hold{Duration: *lasting(10 * time.Minute)}, Verify: &v1alpha1.Hold{Duration: *lasting(5 * time.Minute)},
			}}), Replicas: 4, Rate: to(10.0)},
		},
		"ab-test": {
			reason: "A test that returns is never promoted.",
			in: Input{Rollout: rollout(v1alpha1.Strategy{ABTest: &v1alpha1.ABTest{
				Weight: 50, Duration: *lasting(48 * time.Hour), OnEnd: v1alpha1.ABTestReturn, Match: match[1:],
				Sticky: v1alpha1.Sticky{Cookie: &v1alpha1.StickyCookie{Name: "crossfade"}},
			}}), Replicas: 4, Rate: to(10.0)},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.in.Start = noon
			got, err := json.MarshalIndent(Make(tt.in), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
