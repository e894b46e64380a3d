package proxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// StrategyMistakes says of every part of a strategy that proxies cannot compare what to
// do about it: regular expressions are compiled for that, which CEL cannot.
func StrategyMistakes(s *v1alpha1.Strategy) []string {
	var sentences []string
	matches := func(at string, list []v1alpha1.RequestMatch) {
		for i := range list {
			sentences = append(sentences, requestMistakes(fmt.Sprintf("%s[%d]", at, i), list[i])...)
		}
	}
	sticky := func(at string, s *v1alpha1.Sticky) {
		if s != nil && s.Header != nil && strings.EqualFold(s.Header.Name, "host") {
			sentences = append(sentences, at+".header.name host is no header of a user: name another one")
		}
	}
	if c := s.Canary; c != nil {
		for i := range c.Steps {
			matches(fmt.Sprintf("strategy.canary.steps[%d].match", i), c.Steps[i].Match)
		}
		sticky("strategy.canary.sticky", c.Sticky)
	}
	if b := s.BlueGreen; b != nil && b.Preview != nil {
		matches("strategy.blueGreen.preview.match", b.Preview.Match)
	}
	if t := s.ABTest; t != nil {
		matches("strategy.abTest.match", t.Match)
		sticky("strategy.abTest.sticky", &t.Sticky)
	}
	return sentences
}

// requestMistakes says of every part of a match that proxies cannot compare what to do
// about it. at is how its owner knows it.
func requestMistakes(at string, m v1alpha1.RequestMatch) []string {
	var sentences []string
	if len(m.Headers)+len(m.Cookies)+len(m.QueryParams) == 0 {
		sentences = append(sentences, at+" would take every request: set headers, cookies or queryParams")
	}
	for kind, values := range map[string][]v1alpha1.ValueMatch{"headers": m.Headers, "cookies": m.Cookies, "queryParams": m.QueryParams} {
		for i, v := range values {
			if sentence := valueMistake(v); sentence != "" {
				sentences = append(sentences, fmt.Sprintf("%s.%s[%d].%s", at, kind, i, sentence))
			} else if kind == "headers" && isReserved(v.Name) {
				sentences = append(sentences, fmt.Sprintf("%s.%s[%d].name %s cannot be matched as a header", at, kind, i, v.Name))
			}
		}
	}
	slices.Sort(sentences)
	return sentences
}

func valueMistake(v v1alpha1.ValueMatch) string {
	value := ""
	if v.Value != nil {
		value = *v.Value
	}
	switch {
	case !isToken(v.Name):
		return fmt.Sprintf("name %q has characters that no name of a header, cookie or query parameter has", v.Name)
	case v.Type == v1alpha1.MatchPresent:
		return ""
	case value == "":
		return "value is needed with the types Exact, Prefix and Regex"
	case strings.ContainsAny(value, "\r\n\x00"):
		return "value has a line break, which no request can have"
	case v.Type == v1alpha1.MatchRegex:
		if err := checkRegex(value); err != nil {
			return fmt.Sprintf("value: %s", err)
		}
	case v.Type != "" && v.Type != v1alpha1.MatchExact && v.Type != v1alpha1.MatchPrefix:
		return fmt.Sprintf("type %s is not known: use Exact, Prefix, Regex or Present", v.Type)
	}
	return ""
}
