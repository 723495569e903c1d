"""The Helm chart: what it accepts, what it renders, and that the server it describes really starts.

    chart_test.py CHART EXAMPLES PLIMSOLL RENDERER_SOURCE

Exits with 77 (skipped) where Go with sprig, which render the templates, are not installed.
"""
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import jsonschema
import yaml

CHART, EXAMPLES, PLIMSOLL, SOURCE = (os.path.abspath(path) for path in sys.argv[1:5])
SPRIG = "/usr/share/gocode/src/github.com/Masterminds/sprig"
RENDERER = None  # built in main


def schema():
    with open(f"{CHART}/values.schema.json") as file:
        return json.load(file)


def values(path=f"{CHART}/values.yaml"):
    with open(path) as file:
        return yaml.safe_load(file)


def run(overrides):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(overrides, file)
        file.flush()
        return subprocess.run([RENDERER, CHART, "llama", file.name], capture_output=True, text=True)


def render(overrides):
    done = run(overrides)
    assert done.returncode == 0, done.stderr
    return {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}


EVERYTHING = {
    "pool": {"blocks": 100},
    "config": {},
    "listen": {"port": 8472},
    "tls": {"secretName": "certificates", "clientCertificates": True},
    "tokens": {"secretName": "callers"},
    "serviceMonitor": {"enabled": True, "labels": {"team": "serving"}},
    "extraVolumes": [{"name": "models", "emptyDir": {}}],
    "nodeSelector": {"gpu": "true"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"note": "x"},
    "podLabels": {"tier": "serving"},
}


class Values(unittest.TestCase):
    def test_those_shipped_are_valid(self):
        jsonschema.Draft7Validator.check_schema(schema())
        jsonschema.validate(values(), schema())
        for name in os.listdir(EXAMPLES):
            jsonschema.validate(values(f"{EXAMPLES}/{name}"), schema())
        jsonschema.validate(EVERYTHING, schema())

    def test_wrong_ones_are_refused(self):
        for path, wrong in [(("pool", "blocks"), -1), (("pool", "blocks"), "many"),
                            (("pool", "blockTokens"), 17), (("pool", "memory"), "much"),
                            (("listen", "httpPort"), 70000), (("listen", "socket"), "relative"),
                            (("image", "pullPolicy"), "Sometimes"), (("replicas",), -1),
                            (("pool", "blcoks"), 1), (("servicemonitor",), {})]:
            changed = copy.deepcopy(values())
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = wrong
            with self.assertRaises(jsonschema.ValidationError, msg=f"{path} = {wrong}"):
                jsonschema.validate(changed, schema())

    def test_every_value_is_described_by_the_schema(self):
        def compare(given, described, path):
            for key, value in given.items():
                self.assertIn(key, described["properties"], f"{path}.{key}")
                inner = described["properties"][key]
                if isinstance(value, dict) and "properties" in inner:
                    compare(value, inner, f"{path}.{key}")
        compare(values(), schema(), "values")


class Rendered(unittest.TestCase):
    def test_a_pool_of_no_size_is_refused_with_what_to_say(self):
        done = run({})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("how large is the pool?", done.stderr)

    def test_plaintext_for_other_pods_has_to_be_asked_for(self):
        done = run({"pool": {"blocks": 1}, "listen": {"port": 8472}})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("listen.insecure", done.stderr)
        server = render({"pool": {"blocks": 1}, "listen": {"port": 8472, "insecure": True}})
        arguments = server["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertIn("--insecure", arguments)

    def test_every_mount_has_a_volume_and_every_probe_a_port(self):
        for overrides in [{"pool": {"blocks": 100}}, EVERYTHING,
                          values(f"{EXAMPLES}/sidecar.yaml")]:
            pod = render(overrides)["Deployment"]["spec"]["template"]["spec"]
            volumes = {volume["name"] for volume in pod["volumes"]}
            for container in pod["containers"]:
                for mount in container.get("volumeMounts", []):
                    self.assertIn(mount["name"], volumes)
            server = pod["containers"][0]
            ports = {port["name"] for port in server["ports"]}
            for probe in ["readinessProbe", "livenessProbe"]:
                self.assertIn(server[probe]["httpGet"]["port"], ports)

    def test_selectors_find_the_pods(self):
        documents = render(EVERYTHING)
        labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
        for selector in [documents["Deployment"]["spec"]["selector"]["matchLabels"],
                         documents["Service"]["spec"]["selector"]]:
            self.assertLessEqual(selector.items(), labels.items())
        monitored = documents["ServiceMonitor"]["spec"]
        self.assertLessEqual(monitored["selector"]["matchLabels"].items(),
                             documents["Service"]["metadata"]["labels"].items())
        names = {port["name"] for port in documents["Service"]["spec"]["ports"]}
        self.assertIn(monitored["endpoints"][0]["port"], names)
        self.assertEqual(names, {"grpc", "http"})

    def test_a_change_of_configuration_restarts_the_pod(self):
        def checksum(config):
            pod = render({"pool": {"blocks": 1}, "config": config})["Deployment"]["spec"]["template"]
            return pod["metadata"]["annotations"]["checksum/config"]
        self.assertNotEqual(checksum({}), checksum({"a": 1}))


class Started(unittest.TestCase):
    def test_the_server_described_starts_and_is_ready(self):
        documents = render({"pool": {"blocks": 100}})
        arguments = documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
        with tempfile.TemporaryDirectory() as folder:
            for name, text in documents["ConfigMap"]["data"].items():
                with open(f"{folder}/{name}", "w") as file:
                    file.write(text)
            here = [argument.replace("/etc/plimsoll", folder).replace("/run/plimsoll", folder)
                    .replace("127.0.0.1:8470", "127.0.0.1:0").replace(":8471", ":0")
                    for argument in arguments]
            server = subprocess.Popen([PLIMSOLL, *here], stdout=subprocess.PIPE, text=True)
            try:
                self.assert_ready(server, f"unix:{folder}/plimsoll.sock")
            finally:
                server.terminate()
                server.wait()
                server.stdout.close()

    def assert_ready(self, server, address):
        ready = server.stdout.readline()
        self.assertIn("ready: ledger, 100 blocks", ready)
        port = ready.rsplit(":", 1)[1].strip()
        for path in ["/healthz", "/readyz", "/metrics"]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                self.assertEqual(answer.status, 200)
        said = subprocess.run([PLIMSOLL, "reserve", "--server", address, "--prompt-tokens", "100",
                               "--max-new-tokens", "60"], capture_output=True, text=True)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("10 blocks", said.stdout)


def build_renderer(folder):
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": f"{folder}/cache",
                   "GOPATH": "/usr/share/gocode"}
    subprocess.run(["go", "build", "-o", f"{folder}/render_chart", SOURCE], check=True,
                   env=environment)
    return f"{folder}/render_chart"


if __name__ == "__main__":
    if not os.path.isdir(SPRIG) or subprocess.run(["which", "go"], capture_output=True).returncode:
        print("skipped: Go and sprig (golang-go, golang-github-masterminds-sprig-dev) are missing")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as work:
        RENDERER = build_renderer(work)
        unittest.main(argv=sys.argv[:1])
