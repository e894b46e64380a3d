package notify

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"github.com/crossfade-dev/crossfade/controllers/outbound"
)

// everywhere is a DNS in which every name leads to one address.
type everywhere string

func (e everywhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(string(e))}, nil
}

// guarded is a guard that is the process's default transport, as the controller makes it.
func guarded(t *testing.T, o outbound.Options) Guard {
	t.Helper()
	o.Trusted = true
	g, err := outbound.New(o)
	if err != nil {
		t.Fatal(err)
	}
	before := http.DefaultTransport
	http.DefaultTransport = g
	t.Cleanup(func() { http.DefaultTransport = before })
	return g
}

// services has an address for each service of shoutrrr's, in its own form; "" for the
// one that connects to nobody.
func services() map[string]string {
	const id = "0123456789abcdef0123456789abcdef"
	const uuid = "01234567-89ab-cdef-0123-456789abcdef"
	return map[string]string{
		"bark": "bark://:key@bark.test/", "discord": "discord://token@1234", "generic": "generic://hook.test/in",
		"gotify": "gotify://gotify.test/AzyoeNS.D4iJLVa", "googlechat": "googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=bar&token=baz",
		"hangouts": "hangouts://chat.googleapis.com/v1/spaces/FOO/messages?key=bar&token=baz", "ifttt": "ifttt://key/?events=event",
		"lark": "lark://open.larksuite.com/token?secret=s", "join": "join://shoutrrr:key@join/?devices=device", "logger": "",
		"matrix": "matrix://:token@matrix.test/?rooms=!room:matrix.test", "mattermost": "mattermost://mattermost.test/token",
		"notifiarr": "notifiarr://apikey", "ntfy": "ntfy://ntfy.test/topic", "opsgenie": "opsgenie://api.opsgenie.com/" + uuid,
		"pagerduty": "pagerduty://events.pagerduty.com/" + id, "pushbullet": "pushbullet://o.abcdefghijklmnopqrstuvwxyz012345/device",
		"pushover": "pushover://shoutrrr:token@user/", "rocketchat": "rocketchat://rocket.test/token/token2", "signal": "signal://signal.test:8080/+1234567890/+1234567891",
		"slack": "slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook", "smtp": "smtp://mail.test:25/?from=a@example.com&to=b@example.com",
		"teams":    "teams://" + uuid + "@" + uuid + "/" + id + "/" + uuid + "/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=test.webhook.office.com",
		"telegram": "telegram://123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@telegram?chats=@channel", "wecom": "wecom://" + uuid,
		"zulip": "zulip://bot@zulip.test:key@zulip.test/?stream=s&topic=t",
	}
}

// witness keeps what a guard has refused: not every service says why it did not send.
type witness struct {
	Guard
	refused []error
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.Guard.RoundTrip(r)
	w.refused = append(w.refused, err)
	return res, err
}

func (w *witness) CheckHost(ctx context.Context, address string) error {
	err := w.Guard.CheckHost(ctx, address)
	w.refused = append(w.refused, err)
	return err
}

// TestEveryServiceIsGuarded: no service of the library's gets past the guard; one that is
// new there has to be looked at before it can be used.
func TestEveryServiceIsGuarded(t *testing.T) {
	w := &witness{Guard: guarded(t, outbound.Options{Resolver: everywhere("169.254.169.254")})}
	http.DefaultTransport = w
	targets, err := Open("", w)
	if err != nil {
		t.Fatal(err)
	}
	known := services()
	names := (&router.ServiceRouter{}).ListServices()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(known)), slices.Sorted(slices.Values(names))); diff != "" {
		t.Errorf("services that came or went: find out how they connect, see guardService (-test +library)\n%s", diff)
	}
	for name, address := range known {
		if address == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w.refused = nil
			err := targets.sendText(t.Context(), address, "text", message())
			if len(w.refused) == 0 {
				t.Fatalf("the guard was not asked: %v", err)
			}
			for _, why := range w.refused {
				if why == nil || !strings.Contains(why.Error(), "nothing is sent there") {
					t.Errorf("sent to the machine's credentials: %v", why)
				}
			}
			if err == nil && !silent[name] {
				t.Error("nothing was sent, and there is no error")
			}
		})
	}
}

// silent are the services that do not say that nobody could be reached; the
// documentation names them.
var silent = map[string]bool{"telegram": true}

// TestUnguardedProcess: where the process's transport is not the guard, those services
// that would use it send nothing.
func TestUnguardedProcess(t *testing.T) {
	r, host := receive(t, http.StatusOK)
	guard := guarded(t, outbound.Options{Loopback: true})
	http.DefaultTransport = &http.Transport{}
	targets, err := Open("", guard)
	if err != nil {
		t.Fatal(err)
	}
	err = targets.sendText(t.Context(), "generic://"+host+"/?disabletls=yes", "text", message())
	if err == nil || r.body != "" {
		t.Errorf("%v, and the server got %q", err, r.body)
	}
}

// TestRefused: what leads back into the controller's pod, or on to it, is not sent.
func TestRefused(t *testing.T) {
	r, host := receive(t, http.StatusOK)
	for name, address := range map[string]string{
		"webhook": `url: "generic://` + host + `/in?disabletls=yes"`,
		"events":  `cloudEvents: "http://` + host + `/in"`,
		"mail":    `url: "smtp://` + host + `/?from=a@example.com&to=b@example.com"`,
	} {
		t.Run(name, func(t *testing.T) {
			targets, err := Open(write(t, `targets: [{name: x, namespaces: [shop], `+address+`}]`), guarded(t, outbound.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			err = targets.Send(t.Context(), "x", message())
			if err == nil || !strings.Contains(err.Error(), "a loopback address") || r.body != "" {
				t.Errorf("%v, and the server got %q", err, r.body)
			}
		})
	}
}

// TestSentOn: an answer leads nobody to where the target itself could not be.
func TestSentOn(t *testing.T) {
	var asked []string
	on := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host)
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
	})
	host := serve(t, on)
	for name, address := range map[string]string{
		"webhook": `url: "generic://` + host + `/in?disabletls=yes"`,
		"events":  `cloudEvents: "http://` + host + `/in"`,
		"ntfy":    `url: "ntfy://` + host + `/topic?scheme=http"`,
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			targets, err := Open(write(t, `targets: [{name: x, namespaces: [shop], `+address+`}]`), guarded(t, outbound.Options{Loopback: true}))
			if err != nil {
				t.Fatal(err)
			}
			err = targets.Send(t.Context(), "x", message())
			if err == nil || !strings.Contains(err.Error(), "nothing is sent there") || !slices.Equal(asked, []string{host}) {
				t.Errorf("%v; asked were %v", err, asked)
			}
		})
	}
}
