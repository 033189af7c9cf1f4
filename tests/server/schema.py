"""Whatever the OpenAPI document allows, and much that it does not: no answer is a defect of the server."""

import subprocess
import sys
from pathlib import Path

from served import check, end, server


def main():
    program = Path(sys.executable).with_name("schemathesis")
    with server("--max-body", "4", "--timeout", "20") as running:
        command = [program, "run", f"{running.address}/openapi.json", "--checks", "not_a_server_error,content_type_conformance,response_headers_conformance",
                   "--max-examples", "60", "--seed", "1", "--workers", "2", "--phases", "examples,coverage,fuzzing"]
        result = subprocess.run(command, capture_output=True, text=True)
        print("\n".join(result.stdout.splitlines()[-40:]))
        check("schemathesis finds nothing", result.returncode == 0, result.returncode)
    end()


main()
