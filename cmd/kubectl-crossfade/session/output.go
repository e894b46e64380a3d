package session

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
)

// ListAll lists without a selector.
var ListAll = metav1.ListOptions{}

// Output is the flag -o of a verb.
type Output struct {
	// Format is what was asked for; empty is text for people.
	Format  string
	allowed []string
}

// AddOutput adds the flag -o with the formats that the verb has.
func AddOutput(c *cobra.Command, allowed ...string) *Output {
	o := &Output{allowed: allowed}
	c.Flags().StringVarP(&o.Format, "output", "o", "", "one of "+strings.Join(allowed, ", "))
	cobra.CheckErr(c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)))
	return o
}

// Check refuses a format that the verb does not have.
func (o *Output) Check() error {
	if o.Format == "" || slices.Contains(o.allowed, o.Format) {
		return nil
	}
	return fmt.Errorf("-o %s: want one of %s", o.Format, strings.Join(o.allowed, ", "))
}

// Objects says whether objects are printed whole rather than text for people.
func (o *Output) Objects() bool {
	return o.Format == "json" || o.Format == "yaml" || o.Format == "name"
}

// Print prints an object whole, with every field that the API server has sent.
func (o *Output) Print(w io.Writer, object runtime.Object) error {
	switch o.Format {
	case "json":
		return (&printers.JSONPrinter{}).PrintObj(object, w)
	case "yaml":
		return (&printers.YAMLPrinter{}).PrintObj(object, w)
	default:
		return (&printers.NamePrinter{}).PrintObj(object, w)
	}
}

// Terminal says whether w is one.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
