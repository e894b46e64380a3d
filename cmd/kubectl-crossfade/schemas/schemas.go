// Package schemas judges objects as the API server does when they are created, without
// one: by the definitions that this plugin was built with.
package schemas

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/manifests"
	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// Judge says of the objects that came from files what the API server would refuse
// them for, in its words. Kinds that are not ours are not judged. An error says that
// the definitions cannot be read.
func Judge(ctx context.Context, definitions fs.FS, objects []manifests.Object) ([]advice.Strange, error) {
	var out []advice.Strange
	s := schemas{definitions: definitions, kinds: map[string]*kind{}}
	for _, o := range objects {
		if o.Source == "" || o.GroupVersionKind().GroupVersion() != v1alpha1.GroupVersion {
			continue
		}
		k, err := s.of(o.GetKind())
		if err != nil {
			return nil, err
		}
		if k == nil {
			out = append(out, advice.Strange{At: o.Ref(), Field: "kind", Message: "there is no such kind in " + v1alpha1.GroupVersion.String()})
			continue
		}
		for _, e := range k.judge(ctx, o.DeepCopy().Object) {
			out = append(out, advice.Strange{At: o.Ref(), Field: e.Field, Message: words(e)})
		}
	}
	return out, nil
}

// words leave out what the field and the sentence say anyway.
func words(e *field.Error) string {
	return strings.TrimPrefix(strings.TrimPrefix(e.ErrorBody(), field.ErrorTypeInvalid.String()+": "), `"object": `)
}

// schemas are read at their first use: to compile all rules takes a while.
type schemas struct {
	definitions fs.FS
	crds        map[string]*apiextensionsv1.CustomResourceDefinition
	kinds       map[string]*kind
}

// of is nil for a kind that nothing defines.
func (s *schemas) of(name string) (*kind, error) {
	if known, ok := s.kinds[name]; ok {
		return known, nil
	}
	if s.crds == nil {
		var err error
		if s.crds, err = read(s.definitions); err != nil {
			return nil, err
		}
	}
	crd := s.crds[name]
	if crd == nil {
		return nil, nil
	}
	k, err := compile(crd)
	if err != nil {
		return nil, fmt.Errorf("compile the definition of %s: %w", name, err)
	}
	s.kinds[name] = k
	return k, nil
}

// read reads the definitions by the kinds that they define.
func read(definitions fs.FS) (map[string]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(definitions, "*.yaml")
	if err != nil {
		return nil, err
	}
	out := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, file := range files {
		raw, err := fs.ReadFile(definitions, file)
		if err != nil {
			return nil, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(raw, crd); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		out[crd.Spec.Names.Kind] = crd
	}
	return out, nil
}

// kind judges the objects of one.
type kind struct {
	structure *schema.Structural
	values    validation.SchemaValidator
	rules     *cel.Validator
}

func compile(crd *apiextensionsv1.CustomResourceDefinition) (*kind, error) {
	for _, v := range crd.Spec.Versions {
		if v.Name != v1alpha1.GroupVersion.Version {
			continue
		}
		props := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, props, nil); err != nil {
			return nil, err
		}
		structure, err := schema.NewStructural(props)
		if err != nil {
			return nil, err
		}
		values, _, err := validation.NewSchemaValidator(props)
		if err != nil {
			return nil, err
		}
		return &kind{structure: structure, values: values, rules: cel.NewValidator(structure, true, celconfig.PerCallLimit)}, nil
	}
	return nil, fmt.Errorf("it has no version %s", v1alpha1.GroupVersion.Version)
}

// judge goes the API server's way: defaults first, and rules only over values of the
// right shape, because a rule may not be able to read others.
func (k *kind) judge(ctx context.Context, object map[string]any) field.ErrorList {
	defaulting.Default(object, k.structure)
	found := validation.ValidateCustomResource(nil, object, k.values)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, k.structure, object)...)
	if len(found) == 0 && k.rules != nil {
		found, _ = k.rules.Validate(ctx, nil, k.structure, object, nil, celconfig.RuntimeCELCostBudget)
	}
	return found
}
