"""Conan 2 recipe of the library: planner, block pool and admission, to embed.

    conan create tools/packaging/conan
"""
import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load
from conan.tools.gnu import PkgConfigDeps

ROOT = os.path.join("..", "..", "..")


class Plimsoll(ConanFile):
    name = "plimsoll"
    license = "Apache-2.0"
    description = "KV-cache capacity for LLM servers: planning, the block pool and admission"
    topics = ("llm", "kv-cache", "inference")
    package_type = "static-library"
    settings = "os", "arch", "compiler", "build_type"
    requires = "abseil/[>=20220623.0]", "nlohmann_json/[>=3.11 <4]", "xxhash/[>=0.8 <1]"

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, ROOT, "CMakeLists.txt"))
        self.version = re.search(r"project\(plimsoll VERSION ([0-9.]+)", text).group(1)

    def export_sources(self):
        root = os.path.join(self.recipe_folder, ROOT)
        for pattern in ["CMakeLists.txt", "LICENSE", "kvcache/*", "tools/cmake/*"]:
            copy(self, pattern, root, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        PkgConfigDeps(self).generate()
        toolchain = CMakeToolchain(self)
        for part in ["TOOLS", "TESTS", "BENCHMARKS"]:
            toolchain.cache_variables[f"PLIMSOLL_{part}"] = False
        toolchain.cache_variables["PLIMSOLL_CUDA"] = "OFF"
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        self.cpp_info.set_property("cmake_target_name", "plimsoll::kvcache")
        self.cpp_info.libs = ["plimsoll_kvcache"]
        self.cpp_info.includedirs = [os.path.join("include", "plimsoll")]
        self.cpp_info.requires = ["abseil::abseil", "nlohmann_json::nlohmann_json", "xxhash::xxhash"]
