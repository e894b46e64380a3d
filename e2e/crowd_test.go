//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// TestCrowd is what a namespace has besides one Rollout: others, and limits.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"several": several,
		"quota":   quota,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// Three Rollouts of one namespace deliver at once, one of them to a Service that two HTTPRoutes lead to.
func several(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "2s"}}})
	host := s.Namespace + ".example"
	rename := func(text, to string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "name: payments", "name: "+to), "app: payments", "app: "+to)
	}
	objects := strings.Split(s.render("app.yaml"), "---\n")
	s.must(strings.Replace(strings.Replace(objects[3], "name: payments", "name: second-route", 1), host, "second."+host, 1), "apply", "-f", "-")
	hosts := []string{host, "second." + host}
	rollouts := map[string]*live.Follower[live.Rollout]{name: s.rollout}
	for _, other := range []string{"orders", "stock"} {
		text := rename(strings.Join(objects[1:], "---\n"), other)
		s.must(strings.ReplaceAll(text, host, other+"."+host), "apply", "-f", "-")
		hosts = append(hosts, other+"."+host)
	}
	for _, other := range []string{"orders", "stock"} {
		s.kubectl("rollout", "status", "deployment/"+other, patiently)
		s.must(rename(s.render("rollout.yaml"), other), "apply", "-f", "-")
		rollouts[other] = live.FollowRollout(s.ctx, s.api, s.Namespace, other)
	}
	for other := range rollouts {
		s.kubectl("wait", "rollout/"+other, "--for=condition=Ready", patiently)
	}
	s.until("all hosts are served", func() (string, bool) {
		for _, h := range hosts {
			run, err := load.Start(s.ctx, load.Options{URL: "http://" + s.gateway + "/", Host: h, Rate: 1, Requests: 1, Protocol: load.NewConnections})
			if err != nil {
				t.Fatal(err)
			}
			<-run.Done()
			if samples := run.Stop(); len(samples) != 1 || samples[0].Lost() {
				return h + ": " + load.Describe(samples), false
			}
		}
		return "", true
	})
	runs := map[string]*load.Run{}
	for _, h := range hosts {
		run, err := load.Start(s.ctx, load.Options{URL: "http://" + s.gateway + ":80/", Host: h, Protocol: load.KeepAlive, Rate: 30})
		if err != nil {
			t.Fatal(err)
		}
		runs[h] = run
		s.clients = append(s.clients, run)
	}
	for other := range rollouts {
		s.kubectl("set", "image", "deployment/"+other, "*=crossfade.local/shop:v2")
	}
	for other := range rollouts {
		s.until(other+" is promoted", func() (string, bool) {
			r := rollouts[other].Last().Object
			image := s.kubectl("get", "deployment", other, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
			return fmt.Sprint(r), r.Healthy() && r.Condition("Promoted").Status == "True" && r.Status.Stable.Ready == 2 && strings.HasSuffix(image, "v2") &&
				strings.HasPrefix(r.Status.Stable.Revision, "x")
		})
	}
	for h, run := range runs {
		counts := load.Count(run.Stop(), time.Time{}, time.Time{})
		t.Logf("%s: %v", h, counts)
		if counts.Lost > 0 || counts.Versions["v1"] == 0 || counts.Versions["v2"] == 0 {
			t.Errorf("%s: both versions have to have answered, and nothing may be lost: %v", h, counts)
		}
	}
}

// A quota that leaves no room for canary pods: the status has the quota's words, and when there is room it goes on.
func quota(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "1s"}}})
	f := s.load()
	s.kubectl("create", "quota", "full", "--hard=pods=4")
	s.until("the quota counts the pods", func() (string, bool) {
		used := s.kubectl("get", "quota", "full", "-o", "jsonpath={.status.used.pods}")
		return used, used == "4"
	})
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v2")
	r := s.await("says what the quota says", func(r live.Rollout) bool {
		return strings.Contains(r.Condition("Ready").Message, "exceeded quota: full") && strings.Contains(r.Status.Message, "rolls back at")
	})
	if r.Status.Weight.Desired != 0 {
		t.Errorf("no request may go to a canary that has no pods: %v", r)
	}
	s.kubectl("delete", "quota", "full")
	canary := r.Status.Canary.Revision
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}
