package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// ErrNoTarget says that there is no such target for the namespace: no second try will
// find one, unless the administrator changes his file.
var ErrNoTarget = errors.New("no such target")

// timeout bounds one try.
const timeout = 10 * time.Second

// EventType is the type of the CloudEvents of a happening: "Promoted" becomes
// "dev.crossfade.rollout.promoted.v1".
func EventType(on string) string { return "dev.crossfade.rollout." + strings.ToLower(on) + ".v1" }

// Send makes one try to tell a target. Errors name no address.
func (t *Targets) Send(ctx context.Context, name string, m Message) error {
	b, err := t.book()
	if err != nil {
		return err
	}
	to, err := b.find(name, m.Namespace)
	if err != nil {
		return err
	}
	address, event, err := to.address(filepath.Dir(t.path))
	if err != nil {
		return err
	}
	if event {
		return t.sendEvent(ctx, address, m)
	}
	text, err := b.word(m)
	if err != nil {
		return err
	}
	return t.sendText(ctx, address, text, m)
}

// sendText goes through shoutrrr, which knows nothing of contexts.
func (t *Targets) sendText(ctx context.Context, address, text string, m Message) error {
	service, err := (&router.ServiceRouter{}).Locate(address)
	if err == nil {
		err = t.guardService(ctx, service)
	}
	if err != nil {
		return fmt.Errorf("prepare the message: %s", redact(err, address))
	}
	params := types.Params{"title": title(m)}
	switch service.GetID() {
	case "pagerduty", "wecom": // They refuse what has a title.
		params, text = types.Params{}, title(m)+"\n"+text
	case "generic":
		// Only this service takes what it does not know, as fields of its JSON.
		params["id"], params["on"], params["namespace"], params["rollout"] = m.ID, m.On, m.Namespace, m.Rollout
		params["revision"], params["at"] = m.Revision, m.At.UTC().Format(time.RFC3339)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- deliver(service, text, params) }()
	select {
	case err = <-sent:
	case <-ctx.Done():
		err = fmt.Errorf("no answer within %s", timeout)
	}
	if err != nil {
		return fmt.Errorf("send the message: %s", redact(err, address))
	}
	return nil
}

// deliver outlives a library that does not bear every failure: shoutrrr's zulip looks into
// the answer of a request that has none.
func deliver(service types.Service, text string, params types.Params) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%s could not be reached, or shoutrrr cannot send to it", service.GetID())
		}
	}()
	return service.Send(text, &params)
}

// data is that of a CloudEvent; fields are added, never changed.
type data struct {
	Happening string `json:"happening"`
	Namespace string `json:"namespace"`
	Rollout   string `json:"rollout"`
	UID       string `json:"uid"`
	Revision  string `json:"revision,omitempty"`
	Stable    string `json:"stable,omitempty"`
	Step      int32  `json:"step,omitempty"`
	Message   string `json:"message"`
}

// sendEvent posts a CloudEvent in structured mode (CloudEvents 1.0, HTTP binding §3.2).
func (t *Targets) sendEvent(ctx context.Context, address string, m Message) error {
	e := cloudevents.New()
	e.SetID(m.UID + "/" + m.ID)
	e.SetSource(fmt.Sprintf("/apis/crossfade.dev/v1alpha1/namespaces/%s/rollouts/%s", m.Namespace, m.Rollout))
	e.SetType(EventType(m.On))
	e.SetSubject(m.Revision)
	e.SetTime(m.At.UTC())
	if err := e.SetData(cloudevents.ApplicationJSON, data{
		Happening: m.On, Namespace: m.Namespace, Rollout: m.Rollout, UID: m.UID,
		Revision: m.Revision, Stable: m.Stable, Step: m.Step, Message: m.Text,
	}); err != nil {
		return fmt.Errorf("write the event's data: %w", err)
	}
	body, err := e.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("prepare the event: %s", redact(err, address))
	}
	request.Header.Set("Content-Type", cloudevents.ApplicationCloudEventsJSON)
	answer, err := (&http.Client{Transport: t.guard}).Do(request)
	if err != nil {
		return fmt.Errorf("send the event: %s", redact(err, address))
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.CopyN(io.Discard, answer.Body, 1<<16); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %s", redact(err, address))
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the target answered %d", answer.StatusCode)
	}
	return nil
}

var addresses = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*:/+[^\s"']+`)

// redact is an error's text without anything of an address: the libraries' errors
// repeat them, with what stands in them for a password.
func redact(err error, address string) string {
	text := addresses.ReplaceAllString(err.Error(), "(address)")
	u, parseErr := url.Parse(address)
	if parseErr != nil {
		return "(not shown: the address is not a URL)"
	}
	secrets := strings.FieldsFunc(u.Path+"/"+u.User.String()+"/"+u.RawQuery+"/"+u.Host, func(r rune) bool { return strings.ContainsRune("/:@&=?", r) })
	for _, s := range secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return text
}

// minSecret is the length from which on a part of an address is taken for a secret;
// shorter ones are words like "on" and "v1".
const minSecret = 6
