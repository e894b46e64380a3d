package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
)

// start is a proxy that has cluster a with endpoints, a listener and a route to a.
func start() []line {
	return []line{
		{ask(clusters), []string{"CDS +a@1"}},
		{ask(endpoints, "a"), []string{"EDS +a@1"}},
		{ack(endpoints), nil},
		{ack(clusters), nil},
		{ask(listeners), []string{"LDS +l@1"}},
		{ask(routes, "r"), []string{"RDS +r@1"}},
		{ack(listeners), nil},
		{ack(routes), nil},
	}
}

const one = "CDS a@1; EDS a@1; LDS l@1>r; RDS r@1>a"

func TestStream(t *testing.T) {
	two := "CDS a@1 b@1; EDS a@1 b@1; LDS l@1>r; RDS r@2>a,b"
	many := "CDS a@1 b@1 c@1; EDS a@1 b@1 c@1; LDS l@1; RDS r@1"
	cases := map[string]struct {
		reason string
		world  string
		lines  []line
	}{
		"FreshProxyWaitsForClusters": {
			reason: "A route goes out only after the cluster and its endpoints are acked, whatever the proxy asks first.",
			world:  one,
			lines: []line{
				{ask(clusters), []string{"CDS +a@1"}},
				{ask(listeners), []string{"LDS +l@1"}},
				{ask(routes, "r"), nil},
				{ask(endpoints, "a"), []string{"EDS +a@1"}},
				{ack(endpoints), nil},
				{ack(clusters), []string{"RDS +r@1"}},
			},
		},
		"AddRevision": {
			reason: "On the way in: clusters, endpoints, then the route, each acked.",
			world:  one,
			lines: append(start(),
				line{publish(two), []string{"CDS +b@1"}},
				line{ask(endpoints, "b"), []string{"EDS +b@1"}},
				line{ack(endpoints), nil},
				line{ack(clusters), []string{"RDS +r@2"}},
			),
		},
		"RemoveRevision": {
			reason: "On the way out: the route, acked, then endpoints, then the cluster.",
			world:  one,
			lines: append(start(),
				line{publish("CDS b@1; EDS b@1; LDS l@1>r; RDS r@2>b"), []string{"CDS +b@1"}},
				line{ask(endpoints, "b"), []string{"EDS +b@1"}},
				line{ack(endpoints), nil},
				line{ack(clusters), []string{"RDS +r@2"}},
				line{ack(routes), []string{"EDS -a", "CDS -a"}},
			),
		},
		"EmptyAfterRoute": {
			reason: "Endpoints that become none wait for the ack of the route that changes with them: Envoy never retries an empty cluster.",
			world:  two,
			lines: []line{
				{comeBack(clusters, "a@1 b@1"), nil},
				{comeBack(endpoints, "a@1 b@1", "a", "b"), []string{"EDS +a@1 +b@1"}},
				{ack(endpoints), nil},
				{comeBack(listeners, "l@1"), nil},
				{comeBack(routes, "r@2", "r"), nil},
				{publish("CDS a@1 b@1; EDS a@1 b@0; LDS l@1>r; RDS r@3>a,b"), []string{"RDS +r@3"}},
				{ack(routes), []string{"EDS +b@0"}},
			},
		},
		"EmptyAtOnceWithoutRouteChange": {
			reason: "Nothing is waited for when no route is about to change.",
			world:  one,
			lines:  append(start(), line{publish("CDS a@1; EDS a@0; LDS l@1>r; RDS r@1>a"), []string{"EDS +a@0"}}),
		},
		"EmptyNotHeldByRefusedRoute": {
			reason: "A refused route never comes, so nothing may wait for it.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@1; EDS a@0; LDS l@1>r; RDS r@2>a"), []string{"RDS +r@2"}},
				line{nack(routes, "no"), []string{"EDS +a@0"}},
			),
		},
		"EmptyNotHeldByRouteRefusedEarlier": {
			reason: "The same when the refused version is published once more, together with the empty endpoints.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@2>a"), []string{"RDS +r@2"}},
				line{nack(routes, "no"), nil},
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@1>a"), nil},
				line{publish("CDS a@1; EDS a@0; LDS l@1>r; RDS r@2>a"), []string{"EDS +a@0"}},
			),
		},
		"FillBeforeRoute": {
			reason: "A revision that gets its first endpoints and its weight at once gets the endpoints first.",
			world:  "CDS a@1; EDS a@0; LDS l@1>r; RDS r@1>a",
			lines: []line{
				{comeBack(clusters, "a@1"), nil},
				{comeBack(endpoints, "a@0", "a"), []string{"EDS +a@0"}},
				{ack(endpoints), nil},
				{comeBack(listeners, "l@1"), nil},
				{comeBack(routes, "r@1", "r"), nil},
				{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@2>a"), []string{"EDS +a@1"}},
				{ack(endpoints), []string{"RDS +r@2"}},
			},
		},
		"WeightOnly": {
			reason: "A weight changes one route and nothing else, and what comes while it is not acked is merged.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@2>a"), []string{"RDS +r@2"}},
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@3>a"), nil},
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@4>a"), nil},
				line{ack(routes), []string{"RDS +r@4"}},
			),
		},
		"ChangedClusterBringsEndpoints": {
			reason: "Envoy waits 15 s for the endpoints of a changed cluster and does not ask for them.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@2; EDS a@1; LDS l@1>r; RDS r@1>a"), []string{"CDS +a@2", "EDS +a@1"}}),
		},
		"ReconnectQuiet": {
			reason: "Equal versions are not sent again, but for the endpoints, which Envoy may be waiting for.",
			world:  one,
			lines: []line{
				{comeBack(clusters, "a@1"), nil},
				{comeBack(endpoints, "a@1", "a"), []string{"EDS +a@1"}},
				{comeBack(listeners, "l@1"), nil},
				{comeBack(routes, "r@1", "r"), nil},
			},
		},
		"ReconnectToNewerWorld": {
			reason: "The order holds for those who were away: the old cluster stays until the new route is acked.",
			world:  "CDS b@1; EDS b@1; LDS l@1>r; RDS r@2>b",
			lines: []line{
				{comeBack(clusters, "a@1"), []string{"CDS +b@1"}},
				{comeBack(endpoints, "a@1", "a"), nil},
				{comeBack(listeners, "l@1"), nil},
				{comeBack(routes, "r@1", "r"), nil},
				{ask(endpoints, "b"), []string{"EDS +b@1"}},
				{ack(endpoints), nil},
				{ack(clusters), []string{"RDS +r@2"}},
				{ack(routes), []string{"EDS -a", "CDS -a"}},
			},
		},
		"ReconnectWhileWarming": {
			reason: "Envoy with a warming cluster asks for clusters only after it got endpoints, and routes wait for clusters.",
			world:  one,
			lines: []line{
				{ask(endpoints, "a"), []string{"EDS +a@1"}},
				{ask(listeners), []string{"LDS +l@1"}},
				{ask(routes, "r"), nil},
				{ack(endpoints), nil},
				{comeBack(clusters, "a@1"), []string{"RDS +r@1"}},
			},
		},
		"UnknownName": {
			reason: "What does not exist is answered as removed, and sent when it appears.",
			world:  one,
			lines: append(start(),
				line{ask(endpoints, "b"), []string{"EDS -b"}},
				line{ack(endpoints), nil},
				line{publish("CDS a@1; EDS a@1 b@1; LDS l@1>r; RDS r@1>a"), []string{"EDS +b@1"}},
			),
		},
		"SubscribeAgain": {
			reason: "Who asks again for a name has lost it, and gets it even at an equal version.",
			world:  one,
			lines:  append(start(), line{ask(endpoints, "a"), []string{"EDS +a@1"}}),
		},
		"UnsubscribeWithStaleNonce": {
			reason: "A stale nonce makes an ack void, not a subscription.",
			world:  one,
			lines: append(start(),
				line{leave(endpoints, "a"), nil},
				line{publish("CDS a@1; EDS a@2; LDS l@1>r; RDS r@1>a"), nil},
			),
		},
		"AckAfterUnsubscribe": {
			reason: "A late ack of a route that the proxy has left does not keep its cluster alive.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@2>a"), []string{"RDS +r@2"}},
				line{leave(routes, "r"), nil},
				line{ack(routes), nil},
				line{publish("CDS; EDS; LDS l@1; RDS"), []string{"EDS -a", "CDS -a"}},
			),
		},
		"ExplicitWildcard": {
			reason: "\"*\" is everything, for any type.",
			world:  many,
			lines: []line{
				{ask(endpoints, "*"), []string{"EDS +a@1 +b@1 +c@1"}},
				{leave(endpoints, "*"), nil},
				{ack(endpoints), nil},
				{publish("CDS a@1; EDS a@2 b@1 c@1; LDS l@1; RDS r@1"), nil},
			},
		},
		"NamesAreNoWildcard": {
			reason: "Only clusters and listeners know the old form of a wildcard, which is to name nothing.",
			world:  many,
			lines:  []line{{ask(endpoints), nil}, {ask(routes), nil}},
		},
		"NamedClusters": {
			reason: "Who names clusters gets those.",
			world:  many,
			lines:  []line{{ask(clusters, "a", "x"), []string{"CDS +a@1 -x"}}},
		},
		"UnsubscribeUnderWildcard": {
			reason: "A name taken back that the wildcard still covers is answered, so that the proxy keeps it.",
			world:  many,
			lines: []line{
				{ask(clusters, "*", "a"), []string{"CDS +a@1 +b@1 +c@1"}},
				{ack(clusters), nil},
				{leave(clusters, "a"), []string{"CDS +a@1"}},
			},
		},
		"EmptyWorldIsAnswered": {
			reason: "Envoy starts only after an answer for clusters and listeners.",
			world:  "CDS; EDS; LDS; RDS",
			lines:  []line{{ask(clusters), []string{"CDS"}}, {ask(listeners), []string{"LDS"}}},
		},
		"RefusedRoute": {
			reason: "Refused bytes never go out again, new ones do; neither do the old ones when they come back.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@2>a"), []string{"RDS +r@2"}},
				line{nack(routes, "no"), nil},
				line{publish("CDS a@1; EDS a@2; LDS l@1>r; RDS r@2>a"), []string{"EDS +a@2"}},
				line{publish("CDS a@1; EDS a@2; LDS l@1>r; RDS r@3>a"), []string{"RDS +r@3"}},
				line{ack(routes), nil},
				line{publish("CDS a@1; EDS a@2; LDS l@1>r; RDS r@2>a"), nil},
			),
		},
		"CulpritNamed": {
			reason: "When the text names one resource the others are sent again at once, singly.",
			world:  many,
			lines: []line{
				{ask(clusters), []string{"CDS +a@1 +b@1 +c@1"}},
				{nack(clusters, "error in b"), []string{"CDS +a@1"}},
				{ack(clusters), []string{"CDS +c@1"}},
				{ack(clusters), nil},
			},
		},
		"CulpritByElimination": {
			reason: "When all others are acked the last one is it, and is not sent again.",
			world:  many,
			lines: []line{
				{ask(endpoints, "a", "b", "c"), []string{"EDS +a@1 +b@1 +c@1"}},
				{nack(endpoints, "?"), []string{"EDS +a@1"}},
				{ack(endpoints), []string{"EDS +b@1"}},
				{ack(endpoints), nil},
				{publish("CDS a@1; EDS a@1 b@1 c@2; LDS l@1; RDS r@1"), []string{"EDS +c@2"}},
			},
		},
		"CulpritFound": {
			reason: "One that is refused alone is the culprit, and the rest goes on.",
			world:  many,
			lines: []line{
				{ask(endpoints, "a", "b", "c"), []string{"EDS +a@1 +b@1 +c@1"}},
				{nack(endpoints, "?"), []string{"EDS +a@1"}},
				{nack(endpoints, "?"), []string{"EDS +b@1"}},
				{ack(endpoints), []string{"EDS +c@1"}},
				{ack(endpoints), nil},
			},
		},
		"RefusedBatchMayBeInUse": {
			reason: "A route of a refused response may be in use, so its cluster stays until another version of it is acked.",
			world:  "CDS a@1 b@1; EDS a@1 b@1; LDS; RDS" + nine("@1>a"),
			lines: []line{
				{ask(clusters), []string{"CDS +a@1 +b@1"}},
				{ask(endpoints, "a", "b"), []string{"EDS +a@1 +b@1"}},
				{ack(endpoints), nil},
				{ack(clusters), nil},
				{ask(routes, strings.Fields(nine(""))...), []string{"RDS" + strings.ReplaceAll(nine("@1"), "r", "+r")}},
				{ack(routes), nil},
				{
					publish("CDS a@1 b@1; EDS a@1 b@1; LDS; RDS" + strings.Replace(nine("@2>a"), "r9@2>a", "r9@2>a,b", 1)),
					[]string{"RDS" + strings.ReplaceAll(nine("@2"), "r", "+r")},
				},
				{nack(routes, "?"), []string{"RDS +r1@2"}},
				{publish("CDS a@1; EDS a@1; LDS; RDS" + strings.Replace(nine("@2>a"), "r9@2", "r9@3", 1)), nil},
			},
		},
		"RefusedRemovalMayHaveHappened": {
			reason: "A cluster whose removal was in a refused response is sent again when it is wanted after all.",
			world:  "CDS a@1; EDS; LDS; RDS",
			lines: []line{
				{ask(clusters), []string{"CDS +a@1"}},
				{ack(clusters), nil},
				{publish("CDS b@1; EDS; LDS; RDS"), []string{"CDS +b@1 -a"}},
				{publish("CDS a@1 b@1; EDS; LDS; RDS"), nil},
				{nack(clusters, "b is bad"), []string{"CDS +a@1"}},
			},
		},
		"RefusedRemoval": {
			reason: "A removal that is refused is not repeated for ever.",
			world:  many,
			lines: []line{
				{ask(clusters, "x"), []string{"CDS -x"}},
				{nack(clusters, "no"), nil},
				{publish("CDS a@1 x@1; EDS; LDS; RDS"), []string{"CDS +x@1"}},
			},
		},
		"StaleNonce": {
			reason: "Only the newest response of a type can be acked.",
			world:  one,
			lines: append(start(),
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@2>a"), []string{"RDS +r@2"}},
				line{request(routes, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: "1"}), nil},
				line{publish("CDS a@1; EDS a@1; LDS l@1>r; RDS r@3>a"), nil},
			),
		},
		"RemovedRouteLingers": {
			reason: "Envoy goes on using a removed route until it unsubscribes, and needs its cluster so long.",
			world:  one,
			lines: append(start(),
				line{publish("CDS; EDS; LDS; RDS"), []string{"LDS -l"}},
				line{ack(listeners), []string{"RDS -r"}},
				line{ack(routes), nil},
				line{leave(routes, "r"), []string{"EDS -a", "CDS -a"}},
			),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(nil, parse(tc.world))
			s := &script{world: w, stream: newStream(w, false)}
			for i, l := range tc.lines {
				l.do(s)
				if d := cmp.Diff(l.sent, s.sent()); d != "" {
					t.Fatalf("%s\nline %d: -want +got\n%s", tc.reason, i, d)
				}
			}
		})
	}
}

// nine lists more routes than go out one by one: " r1@1 r2@1 ...".
func nine(version string) string {
	var b strings.Builder
	for i := range routeBatch + 1 {
		fmt.Fprintf(&b, " r%d%s", i+1, version)
	}
	return b.String()
}

// TestRouteBatch checks that few routes go out one by one, and many at once.
func TestRouteBatch(t *testing.T) {
	for _, n := range []int{routeBatch, routeBatch + 1} {
		world, names := "CDS; EDS; LDS; RDS", []string(nil)
		for i := range n {
			names = append(names, fmt.Sprintf("r%02d", i))
			world += " " + names[i] + "@1"
		}
		w := newWorld(nil, parse(world))
		s := newStream(w, false)
		s.deltaRequest(routes, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: names}, time.Time{})
		want := map[bool]int{true: 1, false: n}[n <= routeBatch]
		if got := len(s.next(time.Time{})[0].add); got != want {
			t.Errorf("of %d routes the first response has %d, want %d", n, got, want)
		}
	}
}
