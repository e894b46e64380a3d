package advice

import "github.com/crossfade-dev/crossfade/proxy"

// matchRules judge which requests a delivery is about.
var matchRules = []Rule{
	{
		Code: "XF0181", Name: "MatchUnreadable", Severity: Error,
		What: "A match, or what a user is known by, is nothing that proxies can compare: a regular expression that is not RE2 or too large, a header that they keep elsewhere. The Rollout is refused with reason InvalidMatch.",
		Mend: "Do what the message says.",
		find: matchUnreadable,
	},
}

func matchUnreadable(s *scene) {
	for _, ro := range s.Rollouts {
		for _, mistake := range proxy.StrategyMistakes(&ro.Spec.Strategy) {
			s.found(RefTo("Rollout", ro), "spec.strategy", "%s", mistake)
		}
	}
}
