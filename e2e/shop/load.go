package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"time"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

// loadCommand is the client inside the cluster.
func loadCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	var o load.Options
	flags.StringVar(&o.URL, "url", "", "what to ask")
	flags.StringVar(&o.Host, "host", "", "Host header, if not the URL's")
	protocol := flags.String("protocol", string(load.KeepAlive), "http1, http1-new, h2c or grpc")
	flags.Float64Var(&o.Rate, "rate", 10, "requests per second")
	flags.IntVar(&o.Requests, "requests", 0, "end after so many; 0: when told to stop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.Protocol = load.Protocol(*protocol)
	run, err := load.Start(ctx, o)
	if err != nil {
		return err
	}
	count := func(samples func() []load.Sample) error {
		at := time.Now()
		counts := load.Count(samples(), time.Time{}, time.Time{})
		counts.At = at
		return json.NewEncoder(out).Encode(counts)
	}
	// Each second all that was counted so far, so that it can be read while it goes on.
	each := time.NewTicker(time.Second)
	defer each.Stop()
	for {
		select {
		case <-run.Done():
			return count(run.Stop)
		case <-each.C:
			if err := count(run.Samples); err != nil {
				return err
			}
		}
	}
}

// talkCommand is a client inside the cluster that holds long conversations.
func talkCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("talk", flag.ContinueOnError)
	to := flags.String("to", "", "address and port")
	kind := flags.String("kind", string(load.GRPC), "grpc or websocket")
	number := flags.Int("number", 4, "how many at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	talks, err := load.StartTalks(ctx, load.Kind(*kind), *to, "", *number)
	if err != nil {
		return err
	}
	each := time.NewTicker(time.Second)
	defer each.Stop()
	for {
		select {
		case <-ctx.Done():
			return json.NewEncoder(out).Encode(talks.Stop())
		case <-each.C:
			if err := json.NewEncoder(out).Encode(talks.Now()); err != nil {
				return err
			}
		}
	}
}
