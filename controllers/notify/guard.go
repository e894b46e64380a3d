package notify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/mattermost"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/email/smtp"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// errUnguarded is a mistake of the program's, not of a user's.
var errUnguarded = errors.New("http.DefaultTransport is not the guard: nothing is sent")

// guardService puts a service of shoutrrr's behind the guard. Most of them take no client
// and use the process's default transport, so that has to be the guard. A few make a
// transport of their own, which is replaced; their options to believe any certificate go
// with it. Mail dials by itself: what can be done is to look at the address before.
func (t *Targets) guardService(ctx context.Context, service types.Service) error {
	switch s := service.(type) {
	case *mattermost.Service:
		s.GetHTTPClient().Transport = t.guard
	case *gotify.Service:
		s.GetHTTPClient().Transport = t.guard
	case *ntfy.Service:
		s.SetHTTPClient(&http.Client{Transport: t.guard, Timeout: timeout})
	case *smtp.Service:
		return t.guard.CheckHost(ctx, net.JoinHostPort(s.Config.Host, strconv.Itoa(int(s.Config.Port))))
	default:
		if http.DefaultTransport != http.RoundTripper(t.guard) {
			return errUnguarded
		}
	}
	return nil
}
