// Package manifests reads objects from files and from a cluster, for the verbs that
// judge them together.
package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// Object is an object with the file that it came from; an empty Source is the
// cluster.
type Object struct {
	*unstructured.Unstructured
	Source string
}

// Ref names the object.
func (o Object) Ref() advice.Ref {
	at := advice.RefTo(o.GetKind(), o)
	if clusterScoped(o.GetKind()) {
		at.Namespace = ""
	}
	return at
}

// endings are those of the files that are read of a directory.
var endings = []string{".yaml", ".yml", ".json"}

// Files reads objects from files of one or more documents, from the files of
// directories (not of those below), and with "-" from in. Objects without a
// namespace get the given one.
func Files(paths []string, in io.Reader, namespace string) ([]Object, error) {
	var out []Object
	for _, path := range paths {
		found, err := read(path, in)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	for _, o := range out {
		if o.GetNamespace() == "" && !clusterScoped(o.GetKind()) {
			o.SetNamespace(namespace)
		}
	}
	return Over(nil, out), nil
}

func read(path string, in io.Reader) ([]Object, error) {
	if path == "-" {
		return documents(in, "-", true)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unread(err)
	}
	if !info.IsDir() {
		return file(path, true)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, unread(err)
	}
	var out []Object
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(endings, filepath.Ext(e.Name())) {
			continue
		}
		// Values of Helm and the like lie beside manifests.
		found, err := file(filepath.Join(path, e.Name()), false)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// unread keeps an error of a file from being taken for one of the cluster's.
func unread(err error) error { return errors.New("read manifests: " + err.Error()) }

func file(path string, strict bool) ([]Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unread(err)
	}
	defer func() { _ = f.Close() }() // It was only read.
	return documents(f, path, strict)
}

// documents reads a stream of YAML or JSON documents; one that is no object of
// Kubernetes is an error when strict.
func documents(r io.Reader, source string, strict bool) ([]Object, error) {
	var out []Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(r))
	for n := 1; ; n++ {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", source, err)
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		// By way of JSON, for Kubernetes' own reader of it keeps whole numbers whole; rules on them cannot read others.
		object := map[string]any{}
		text, err := yaml.YAMLToJSON(raw)
		if err == nil {
			err = utiljson.Unmarshal(text, &object)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s, document %d: %s", source, n, strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
		}
		u := &unstructured.Unstructured{Object: object}
		switch {
		case len(object) == 0:
		case u.GetKind() == "" || u.GetAPIVersion() == "":
			if strict {
				return nil, fmt.Errorf("read %s, document %d: it has no apiVersion and kind, so it is no object of Kubernetes", source, n)
			}
		case u.IsList():
			list, err := u.ToList()
			if err != nil {
				return nil, fmt.Errorf("read %s, document %d: %w", source, n, err)
			}
			for i := range list.Items {
				out = append(out, Object{Unstructured: &list.Items[i], Source: source})
			}
		default:
			out = append(out, Object{Unstructured: u, Source: source})
		}
	}
}
