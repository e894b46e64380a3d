// Package review has the verbs that judge before anything happens: analyze finds
// mistakes, plan tells a delivery before it begins, check measures once.
package review

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/manifests"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/schemas"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
	"github.com/crossfade-dev/crossfade/config/crd"
	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// ExitFound says that analyze has found something, or that a plan would be refused.
const ExitFound = 2

type analyze struct {
	*session.Session
	output  *session.Output
	files   []string
	all     bool
	cluster bool
	failOn  string
	explain string
	scrape  time.Duration
}

const analyzeHelp = `Find mistakes before they hurt: what the API server accepts because each object
alone is right, and what fails when they meet.

Without -f it looks at the cluster: at the namespace, or with -A at all of them.
With -f it looks at files alone, which needs no cluster; with -f and --cluster (or
-A) at both together, as if the files had been applied. What is not known is not
judged.

Exit codes: 0 nothing as grave as --fail-on was found; 2 something was; 1 anything
else. All rules: docs/analyze.md, or --explain CODE.`

// Analyze is `kubectl crossfade analyze`.
func Analyze(s *session.Session) *cobra.Command {
	a := &analyze{Session: s}
	c := &cobra.Command{
		Use:     "analyze [-f FILE...]",
		Aliases: []string{"lint"},
		Short:   "Find mistakes in files and clusters before they hurt",
		Long:    analyzeHelp,
		Example: "  kubectl crossfade analyze -A\n  kubectl crossfade analyze -f deploy/ --fail-on warning\n  kustomize build . | kubectl crossfade analyze -f - --cluster\n  kubectl crossfade analyze --explain XF0208",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.run(c.Context()) },
	}
	c.Flags().StringSliceVarP(&a.files, "filename", "f", nil, "files, directories, or - for standard input")
	c.Flags().BoolVarP(&a.all, "all-namespaces", "A", false, "the cluster's objects of all namespaces")
	c.Flags().BoolVar(&a.cluster, "cluster", false, "with -f: the cluster's objects in the files' namespaces, too")
	c.Flags().StringVar(&a.failOn, "fail-on", string(advice.Error), "the least severity that ends with exit code 2: error, warning or info")
	c.Flags().StringVar(&a.explain, "explain", "", "print the rule of this code, and look at nothing")
	c.Flags().DurationVar(&a.scrape, "scrape-interval", 15*time.Second, "time between two scrapes of the proxies by Prometheus")
	cobra.CheckErr(c.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(severities(), cobra.ShellCompDirectiveNoFileComp)))
	a.output = session.AddOutput(c, "json", "yaml", "wide")
	return c
}

func severities() []string {
	var names []string
	for _, s := range advice.Severities() {
		names = append(names, string(s))
	}
	return names
}

// analysis is what -o json and yaml print.
type analysis struct {
	Findings []advice.Finding `json:"findings"`
	// Errors, Warnings and Infos count them.
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Infos    int `json:"infos"`
	// Looked says at what.
	Looked string `json:"looked"`
	// Forbidden and Absent are kinds that could not be read: the user may not, or the
	// cluster does not have them.
	Forbidden []string `json:"forbidden,omitempty"`
	Absent    []string `json:"absent,omitempty"`
}

func (a *analyze) run(ctx context.Context) error {
	if err := a.output.Check(); err != nil {
		return err
	}
	if a.explain != "" {
		return a.explainRule()
	}
	if !slices.Contains(severities(), a.failOn) {
		return fmt.Errorf("--fail-on %s: want one of %s", a.failOn, strings.Join(severities(), ", "))
	}
	w, result, err := a.gather(ctx)
	if err != nil {
		return err
	}
	w.ScrapeInterval = a.scrape
	result.Findings = append(result.Findings, advice.Judge(w)...)
	if err := a.narrow(result); err != nil {
		return err
	}
	if a.output.Objects() {
		if err := writeData(a.Out, a.output.Format, result); err != nil {
			return err
		}
	} else {
		writeFindings(a.Out, result, a.Paint(), a.output.Format == "wide")
	}
	if slices.ContainsFunc(result.Findings, func(f advice.Finding) bool { return f.Severity.AtLeast(advice.Severity(a.failOn)) }) {
		return &session.Exit{Code: ExitFound}
	}
	return nil
}

// gather reads what is to be judged.
func (a *analyze) gather(ctx context.Context) (advice.World, *analysis, error) {
	result := &analysis{Findings: []advice.Finding{}}
	var objects []manifests.Object
	namespace, err := a.Namespace()
	if err != nil {
		return advice.World{}, nil, err
	}
	if len(a.files) > 0 {
		if objects, err = manifests.Files(a.files, a.In, namespace); err != nil {
			return advice.World{}, nil, err
		}
		result.Looked = fmt.Sprintf("%s of %s", count(len(objects), "object"), strings.Join(a.files, ", "))
	}
	whole := []advice.Whole(nil)
	if len(a.files) == 0 || a.all || a.cluster {
		client, err := a.Client()
		if err != nil {
			return advice.World{}, nil, err
		}
		namespaces, words := a.namespaces(objects, namespace)
		have, err := manifests.Read(ctx, client, namespaces...)
		if err != nil {
			return advice.World{}, nil, err
		}
		result.Looked = strings.TrimPrefix(fmt.Sprintf("%s and %s of the cluster, %s", result.Looked, count(len(have.Objects), "object"), words), " and ")
		objects, whole = manifests.Over(have.Objects, objects), have.Whole
		result.Forbidden, result.Absent = have.Forbidden, have.Absent
	}
	w, err := manifests.World(objects)
	if err != nil {
		return advice.World{}, nil, err
	}
	w.Whole = whole
	manifests.Resolve(&w, objects, w.Knows)
	w.Invalid, err = schemas.Judge(ctx, crd.Files, objects)
	return w, result, err
}

// namespaces are those of the cluster that are read, none for all, and how they are
// called.
func (a *analyze) namespaces(files []manifests.Object, own string) (names []string, words string) {
	if a.all {
		return nil, "all namespaces"
	}
	if len(files) == 0 {
		return []string{own}, "namespace " + own
	}
	for _, o := range files {
		if o.GetNamespace() != "" && !slices.Contains(names, o.GetNamespace()) {
			names = append(names, o.GetNamespace())
		}
	}
	slices.Sort(names)
	if len(names) == 1 {
		return names, "namespace " + names[0]
	}
	return names, "namespaces " + strings.Join(names, ", ")
}

// narrow leaves out what was found elsewhere: routes are read of all namespaces.
func (a *analyze) narrow(result *analysis) error {
	if len(a.files) == 0 && !a.all {
		namespace, err := a.Namespace()
		if err != nil {
			return err
		}
		result.Findings = slices.DeleteFunc(result.Findings, func(f advice.Finding) bool {
			return f.Object.Namespace != namespace
		})
	}
	for _, f := range result.Findings {
		switch f.Severity {
		case advice.Error:
			result.Errors++
		case advice.Warning:
			result.Warnings++
		case advice.Info:
			result.Infos++
		}
	}
	return nil
}

func (a *analyze) explainRule() error {
	for _, r := range advice.Rules() {
		if strings.EqualFold(r.Code, a.explain) || strings.EqualFold(r.Name, a.explain) {
			fmt.Fprintf(a.Out, "%s %s (%s)\n\n%s\n\nMend: %s\n", r.Code, r.Name, r.Severity, r.What, r.Mend)
			return nil
		}
	}
	return fmt.Errorf("there is no rule %s: docs/analyze.md lists all", a.explain)
}

// writeFindings writes them object by object.
func writeFindings(w io.Writer, result *analysis, paint session.Paint, wide bool) {
	colour := map[advice.Severity]func(string) string{advice.Error: paint.Bad, advice.Warning: paint.Warn, advice.Info: paint.Faint}
	at := advice.Ref{}
	byObject := slices.Clone(result.Findings)
	slices.SortStableFunc(byObject, func(a, b advice.Finding) int {
		return cmp.Or(cmp.Compare(a.Object.Namespace, b.Object.Namespace), cmp.Compare(a.Object.Kind, b.Object.Kind), cmp.Compare(a.Object.Name, b.Object.Name))
	})
	for _, f := range byObject {
		if f.Object != at {
			at = f.Object
			source := ""
			if f.Source != "" {
				source = paint.Faint(" (" + f.Source + ")")
			}
			fmt.Fprintf(w, "%s%s\n", paint.Strong(at.String()), source)
		}
		field := ""
		if f.Field != "" {
			field = paint.Faint(" [" + f.Field + "]")
		}
		fmt.Fprintf(w, "  %s %s %s: %s%s\n", f.Code, colour[f.Severity](string(f.Severity)), f.Name, f.Message, field)
		if wide || f.Severity != advice.Info {
			fmt.Fprintf(w, "    %s\n", f.Mend)
		}
	}
	if len(byObject) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s, %s, %s in %s.\n", count(result.Errors, "error"), count(result.Warnings, "warning"), count(result.Infos, "info"), result.Looked)
	if len(result.Forbidden) > 0 {
		fmt.Fprintf(w, "You may not read, so nothing was said about: %s.\n", strings.Join(result.Forbidden, ", "))
	}
	if len(result.Absent) > 0 {
		fmt.Fprintf(w, "The cluster does not have: %s.\n", strings.Join(result.Absent, ", "))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
