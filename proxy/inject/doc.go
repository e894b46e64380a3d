// Package inject turns a pod into one of the mesh: it decides whether a pod gets
// a sidecar, and puts it in. It is pure: a pod in, a pod out, the same output
// for the same input.
//
// What a pod gets:
//
//   - the init container crossfade-init, before all others, which leads the
//     pod's TCP connections to the proxy (command crossfade init). It alone has a
//     capability, NET_ADMIN;
//   - the native sidecar crossfade-proxy, second, so that the pod's own init
//     containers have a network, and its containers start after the proxy is
//     ready and stop before it;
//   - the volumes with the proxy's credentials;
//   - probes that ask the agent, which asks the application: the kubelet has no
//     certificate;
//   - the label by which the controller knows the pod as meshed, an annotation
//     that says what was injected, and annotations for Prometheus if the pod has
//     none of its own.
//
// An injected pod stays as it is, so that the API server may ask again after
// another webhook has changed it: only what is new in it, a container with
// probes, is treated then.
package inject
