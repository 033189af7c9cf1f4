"""Whatever the OpenAPI document allows, and much that it does not: no answer is a defect of the server."""

import subprocess
import sys
import tempfile
from pathlib import Path

from served import check, end, server


# Names that are there, so that more than the refusal of unknown ones is tried.
KNOWN = '[parameters]\n"path.model" = "nuclei"\n"path.version" = "1"\n"query.model" = "nuclei"\n"query.version" = "1"\n'


def main():
    program = Path(sys.executable).with_name("schemathesis")
    with server("--max-body", "4", "--timeout", "20") as running, tempfile.TemporaryDirectory() as folder:
        for name, config in [("unknown models", ""), ("the model that is there", KNOWN)]:
            file = Path(folder, "schemathesis.toml")
            file.write_text(config)
            command = [program, "--config-file", file, "run", f"{running.address}/openapi.json", "--checks", "not_a_server_error,content_type_conformance,response_headers_conformance",
                       "--max-examples", "40", "--seed", "1", "--workers", "2", "--request-timeout", "60", "--phases", "examples,coverage,fuzzing"]
            result = subprocess.run(command, capture_output=True, text=True, cwd=folder)
            print("\n".join(result.stdout.splitlines()[-12 if result.returncode == 0 else 0:]))
            check(f"schemathesis finds nothing, {name}", result.returncode == 0, result.returncode)
    end()


main()
