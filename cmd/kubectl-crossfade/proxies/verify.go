package proxies

// rounds is how often an Envoy is asked at most. Gateways have the routes of many
// Rollouts in one table, which can change between the two questions.
const rounds = 8

// asking is how both sides are asked.
type asking struct {
	controller func() (page, error)
	// envoy returns the account of a proxy, or why there is none.
	envoy func(node string) (raw []byte, trouble string)
}

// verify compares what Envoys say with what the controller says, beginning with a page
// that is known. It returns the page and the answers of the last round; who agrees is
// not asked again.
func (a asking) verify(before page, service string) (page, map[string]Answer, error) {
	answers := map[string]Answer{}
	for range rounds {
		accounts := map[string][]byte{}
		for _, row := range rows(before, service, "") {
			if answers[row.Proxy].Agrees {
				continue
			}
			raw, trouble := a.envoy(row.Proxy)
			if trouble != "" {
				answers[row.Proxy] = Answer{Routes: []string{}, Message: trouble}
				continue
			}
			accounts[row.Proxy] = raw
		}
		if len(accounts) == 0 {
			return before, answers, nil
		}
		after, err := a.controller()
		if err != nil {
			return page{}, nil, err
		}
		differs := false
		for node, raw := range accounts {
			answers[node] = between(raw, before.of(node), after.of(node), service)
			differs = differs || !answers[node].Agrees
		}
		if before = after; !differs {
			break
		}
	}
	return before, answers, nil
}

// between compares what an Envoy said with the controller's accounts of the moments
// before and after that: it may agree with either.
func between(raw []byte, before, after proxy, service string) Answer {
	if answer := compare(raw, before, service); answer.Agrees {
		return answer
	}
	return compare(raw, after, service)
}

func (p page) of(node string) proxy {
	for _, x := range p.Proxies {
		if x.Node == node {
			return x
		}
	}
	return proxy{}
}
