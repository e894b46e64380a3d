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
	protocol := flags.String("protocol", string(load.KeepAlive), "http1, http1-new or h2c")
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
	<-run.Done()
	return json.NewEncoder(out).Encode(load.Count(run.Stop(), time.Time{}, time.Time{}))
}
