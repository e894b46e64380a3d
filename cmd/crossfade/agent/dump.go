package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"
)

// dumpPath is all that Dump asks Envoy for: the routes that came from the controller,
// with the version of each.
const dumpPath = "/config_dump?resource=dynamic_route_configs"

// dumpWithin is how long Envoy gets for it: it is asked by a person, who waits.
const dumpWithin = 15 * time.Second

// maxDump bounds Envoy's answer: a gateway may have a thousand hosts.
const maxDump = 256 << 20

// Dump is `crossfade dump`: it writes the routes that this container's Envoy has, as
// Envoy shows them. It is run by exec, for the admin interface is a socket that nobody
// outside of the container reaches, and it reads only: who may exec could do more.
func Dump(ctx context.Context, args []string, out, errOut io.Writer) error {
	f := flag.NewFlagSet("crossfade dump", flag.ContinueOnError)
	f.SetOutput(errOut)
	dir := f.String("dir", "/tmp", "folder of the agent's admin socket")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("dump takes flags only, got %q", f.Arg(0))
	}
	ctx, cancel := context.WithTimeout(ctx, dumpWithin)
	defer cancel()
	response, err := newAdmin(Options{Dir: *dir}.adminSocket()).do(ctx, http.MethodGet, dumpPath)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask Envoy for its routes: it answers %s", response.Status)
	}
	if _, err := io.Copy(out, io.LimitReader(response.Body, maxDump)); err != nil {
		return fmt.Errorf("copy Envoy's answer: %w", err)
	}
	return nil
}
