"""Recipes say the version that the project has, and take only files that are there.

    recipes_test.py ROOT VERSION
"""
import ast
import glob
import json
import os
import sys
import unittest

ROOT, VERSION = sys.argv[1:3]
PACKAGING = f"{ROOT}/tools/packaging"


def read(path):
    with open(path) as file:
        return file.read()


class Recipes(unittest.TestCase):
    def test_versions_are_the_projects(self):
        self.assertEqual(json.loads(read(f"{PACKAGING}/vcpkg/plimsoll/vcpkg.json"))["version"], VERSION)
        for key in ["version", "appVersion"]:
            self.assertIn(f"\n{key}: {VERSION}\n", read(f"{PACKAGING}/helm/plimsoll/Chart.yaml"))

    def test_conan_exports_files_that_are_there(self):
        tree = ast.parse(read(f"{PACKAGING}/conan/conanfile.py"))
        exported = next(node for node in ast.walk(tree)
                        if isinstance(node, ast.FunctionDef) and node.name == "export_sources")
        patterns = next(node for node in ast.walk(exported) if isinstance(node, ast.List))
        for pattern in ast.literal_eval(patterns):
            self.assertTrue(glob.glob(f"{ROOT}/{pattern}"), pattern)

    def test_the_image_is_made_by_scripts_that_are_there(self):
        said = read(f"{PACKAGING}/docker/Dockerfile")
        for script in ["tools/setup", "tools/package"]:
            self.assertIn(script, said)
            self.assertTrue(os.access(f"{ROOT}/{script}", os.X_OK), script)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
