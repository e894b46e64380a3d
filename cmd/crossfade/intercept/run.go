package intercept

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

// Run is `crossfade init`. It returns nil when the connections of every family
// of IP that the pod has an address of are led to the proxy, and were seen to.
func Run(ctx context.Context, args []string) error {
	exclusions, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return run(ctx, exclusions, slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("logger", "init"))
}

func parse(args []string, out io.Writer) (intercept.Exclusions, error) {
	var e intercept.Exclusions
	f := flag.NewFlagSet("crossfade init", flag.ContinueOnError)
	f.SetOutput(out)
	list(f, &e.InboundPorts, "exclude-inbound-ports", "ports of the pod that stay as they are, separated by commas", intercept.ParsePorts)
	list(f, &e.OutboundPorts, "exclude-outbound-ports", "ports of others that stay as they are", intercept.ParsePorts)
	list(f, &e.InboundCIDRs, "exclude-inbound-cidrs", "clients whose connections stay as they are, such as 10.0.0.0/8", intercept.ParseCIDRs)
	list(f, &e.OutboundCIDRs, "exclude-outbound-cidrs", "destinations to which connections stay as they are", intercept.ParseCIDRs)
	if err := f.Parse(args); err != nil {
		return e, err
	}
	if f.NArg() > 0 {
		return e, fmt.Errorf("init takes flags only, got %q", f.Arg(0))
	}
	return e, nil
}

func list[T any](f *flag.FlagSet, into *[]T, name, usage string, read func(string) ([]T, error)) {
	f.Func(name, usage, func(text string) error {
		values, err := read(text)
		*into = values
		return err
	})
}

func run(ctx context.Context, e intercept.Exclusions, log *slog.Logger) error {
	verified := false
	for _, family := range []intercept.Family{intercept.IPv4, intercept.IPv6} {
		own, err := addresses(family)
		if err != nil {
			return err
		}
		rules := intercept.Derive(family, e)
		if err := write(rules); err != nil {
			if len(own) > 0 {
				return errors.New(explain(family, err))
			}
			log.Info("the pod has no address of this family, and the kernel cannot redirect it: left out", "family", family.String(), "error", err.Error())
			continue
		}
		if len(own) == 0 {
			log.Info("the pod has no address of this family: nothing to verify", "family", family.String())
			continue
		}
		if err := addInboundSource(ctx, family); err != nil {
			return err
		}
		if err := verify(ctx, rules, e, own); err != nil {
			return err
		}
		verified = true
		log.Info("connections go to the proxy", "family", family.String(), "rules", len(rules.Guard)+len(rules.Inbound)+len(rules.Outbound))
	}
	if !verified {
		return errors.New("the pod has no address but loopback's: there is nothing to intercept, and no way to see that it works")
	}
	return nil
}
