package outcome

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// Change is something that was seen to happen.
type Change struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Report is the outcome for machines. Fields are only ever added to it.
type Report struct {
	Namespace string       `json:"namespace"`
	Rollout   string       `json:"rollout"`
	Revision  string       `json:"revision,omitempty"`
	Outcome   Verdict      `json:"outcome"`
	ExitCode  int          `json:"exitCode"`
	Message   string       `json:"message"`
	Check     *FailedCheck `json:"check,omitempty"`
	Started   time.Time    `json:"started"`
	Ended     time.Time    `json:"ended"`
	Changes   []Change     `json:"changes"`
}

func (r *Report) end(f Finding, at time.Time) {
	r.Revision, r.Outcome, r.ExitCode, r.Message, r.Check = f.Revision, f.Verdict, codes[f.Verdict], f.Message, f.Check
	r.Ended = at
	if r.Changes == nil {
		r.Changes = []Change{}
	}
}

// writeText writes the last lines of a log.
func (r *Report) writeText(w io.Writer, p session.Paint) {
	word := p.Bad
	switch r.Outcome {
	case Promoted:
		word = p.Good
	case TimedOut, PersonNeeded, Superseded:
		word = p.Warn
	case RolledBack, Misconfigured, Broken, Waiting:
	}
	fmt.Fprintf(w, "%s: %s\n", word(string(r.Outcome)), r.Message)
	if r.Check != nil {
		fmt.Fprintf(w, "%s\n", r.Check)
	}
}

// The form of JUnit that all pipelines read.
type (
	suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite
	}
	suite struct {
		XMLName   xml.Name `xml:"testsuite"`
		Name      string   `xml:"name,attr"`
		Tests     int      `xml:"tests,attr"`
		Failures  int      `xml:"failures,attr"`
		Errors    int      `xml:"errors,attr"`
		Skipped   int      `xml:"skipped,attr"`
		Time      string   `xml:"time,attr"`
		Timestamp string   `xml:"timestamp,attr"`
		Cases     []testCase
	}
	testCase struct {
		XMLName   xml.Name `xml:"testcase"`
		ClassName string   `xml:"classname,attr"`
		Name      string   `xml:"name,attr"`
		Time      string   `xml:"time,attr"`
		Failure   *result  `xml:"failure,omitempty"`
		Error     *result  `xml:"error,omitempty"`
		Out       string   `xml:"system-out,omitempty"`
	}
	result struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as a suite of one test: that the revision is promoted.
// A revision that was rolled back is a failure, no outcome is an error.
func (r *Report) WriteJUnit(w io.Writer) error {
	name := "promoted"
	if r.Revision != "" {
		name = "revision " + r.Revision + " is promoted"
	}
	took := fmt.Sprintf("%.3f", r.Ended.Sub(r.Started).Seconds())
	test := testCase{ClassName: fmt.Sprintf("crossfade.%s.%s", r.Namespace, r.Rollout), Name: clean(name), Time: took}
	for _, c := range r.Changes {
		test.Out += clean(c.At.UTC().Format(time.RFC3339)+"  "+c.Text) + "\n"
	}
	s := suite{
		Name: fmt.Sprintf("crossfade %s/%s", r.Namespace, r.Rollout), Tests: 1, Time: took,
		Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
	}
	text := r.Message
	if r.Check != nil {
		text += "\n" + r.Check.String()
	}
	bad := &result{Message: clean(r.Message), Type: string(r.Outcome), Text: clean(text)}
	switch r.Outcome {
	case Promoted:
	case RolledBack:
		test.Failure, s.Failures = bad, 1
	case TimedOut, PersonNeeded, Superseded, Misconfigured, Broken, Waiting:
		test.Error, s.Errors = bad, 1
	}
	s.Cases = []testCase{test}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suites{Suites: []suite{s}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// clean drops what may not stand in XML at all: a message may hold anything that a
// proxy or a script has said.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}
