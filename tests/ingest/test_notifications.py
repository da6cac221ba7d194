"""What an object store tells, understood: MinIO's messages as its server builds them (cmd/event-notification.go)."""

from __future__ import annotations

import json

import pytest

from services.ingest.notifications import Ignored, Notified, UnusableNotification, parse_notification, place_of
from tidemill.testing.notifications import minio_notification


def told(key: str, **changes: str) -> Notified:
    (notified,) = parse_notification(minio_notification("tidemill", key, **changes))
    return notified


@pytest.mark.parametrize(
    "name", ["reviews.csv", "a b+c.csv", "好评 与差评.csv", "100%2Fdone.csv", "größe&x=1.csv", "%zz.csv", "a;b=c.csv"]
)
def test_a_key_comes_out_as_the_object_has_it(name: str) -> None:
    notified = told(f"inbox/default/reviews/{name}")
    assert notified.key == f"inbox/default/reviews/{name}"
    assert notified.uri == f"s3://tidemill/inbox/default/reviews/{name}"
    assert place_of(notified).dataset == "reviews"


def test_project_and_dataset_are_folders_of_any_script() -> None:
    place = place_of(told("inbox/客服/意图-v2/train.csv"))
    assert (place.project, place.dataset, place.recipe_key) == (
        "客服", "意图-v2", "inbox/客服/意图-v2/recipe.yaml",
    )  # fmt: skip


def test_the_same_write_is_the_same_run_and_another_write_another() -> None:
    key = "inbox/default/reviews/a.csv"
    first = told(key)
    assert told(key).run_id == first.run_id
    assert told(key, event="s3:ObjectCreated:CompleteMultipartUpload").run_id == first.run_id
    assert told(key, sequencer="17F").run_id == first.run_id, "the version says which write it was"
    others = {told(key, version="v2").run_id, told(f"{key}.gz").run_id, told(key, version="").run_id}
    assert len(others | {first.run_id}) == 4
    unversioned = {told(key, version=version).run_id for version in ("", "null")}
    assert len(unversioned) == 1
    assert told(key, version="", sequencer="17F").run_id not in unversioned
    assert told(key, version="", etag="e2").run_id not in unversioned


def test_a_record_of_aws_has_no_prefix_in_its_event() -> None:
    assert told("inbox/default/reviews/a.csv", event="ObjectCreated:Put").event == "s3:ObjectCreated:Put"


@pytest.mark.parametrize(
    ("key", "event", "why"),
    [
        ("inbox/default/reviews/a.csv", "s3:ObjectRemoved:Delete", "brings no data"),
        ("inbox/default/reviews/a.csv", "s3:ObjectRemoved:DeleteMarkerCreated", "brings no data"),
        ("inbox/default/reviews/a.csv", "s3:ObjectCreated:PutTagging", "brings no data"),
        ("inbox/default/reviews/a.csv", "s3:ObjectAccessed:Get", "brings no data"),
        ("artifacts/objects/ab/abc", "s3:ObjectCreated:Put", "not below inbox/"),
        ("inboxes/default/reviews/a.csv", "s3:ObjectCreated:Put", "not below inbox/"),
        ("inbox/default/reviews/", "s3:ObjectCreated:Put", "marks a folder"),
        ("inbox/readme.txt", "s3:ObjectCreated:Put", "in no dataset's folder"),
        ("inbox/default/readme.txt", "s3:ObjectCreated:Put", "in no dataset's folder"),
        ("inbox/default/reviews/.DS_Store", "s3:ObjectCreated:Put", "is hidden"),
        ("inbox/default/reviews/recipe.yaml", "s3:ObjectCreated:Put", "is the recipe"),
        ("inbox/default/cats/tabby/1.png", "s3:ObjectCreated:Put", "into one archive"),
    ],
)
def test_what_starts_no_run_is_ignored_with_a_reason(key: str, event: str, why: str) -> None:
    with pytest.raises(Ignored, match=why):
        place_of(told(key, event=event))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("inbox/default/../secrets/a.csv", r"'\.\.'"),
        ("inbox/../records/default/a.csv", r"'\.\.'"),
        ("inbox//reviews/a.csv", "empty part"),
        ("inbox/default/reviews/what?.csv", "'[?]' or '#'"),
        ("inbox/default/reviews/no#1.csv", "'[?]' or '#'"),
        ("inbox/default/reviews/a\\b.csv", "backslash"),
        ("inbox/default/reviews/a\nb.csv", "control character"),
        ("inbox/default/two words/a.csv", "'two words' is not a usable name"),
        ("inbox/*/reviews/a.csv", r"'\*' is not a usable name"),
        ("inbox/default/" + "x" * 101 + "/a.csv", "not a usable name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_advice(key: str, why: str) -> None:
    with pytest.raises(UnusableNotification, match=why) as caught:
        place_of(told(key))
    assert "rename" in str(caught.value) or "name" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no Records"),
        (b"{}", "no Records"),
        (b'{"Records": []}', "no Records"),
        (b'{"Records": [7]}', r"no object Records\[0\]\.s3"),
        (b'{"Records": [{"s3": {"bucket": {"name": "b"}}}]}', r"no object Records\[0\]\.s3\.object"),
        (b'{"Records": [{"s3": {"bucket": {}, "object": {}}}]}', r"no text Records\[0\]\.s3\.bucket\.name"),
        (b'{"Records": [{"eventName": 1, "s3": {"bucket": {"name": "b"}, "object": {}}}]}', r"no text .*eventName"),
        (
            b'{"Records": [{"s3": {"bucket": {"name": "\\ud800"}, "object": {}}}]}',
            "not valid Unicode",
        ),
    ],
)
def test_what_is_no_notification_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(UnusableNotification, match=why):
        parse_notification(body)


def test_a_key_that_is_not_utf_8_is_refused() -> None:
    document = json.loads(minio_notification("tidemill", "inbox/default/reviews/a.csv"))
    document["Records"][0]["s3"]["object"]["key"] = "inbox%2Fdefault%2Freviews%2F%FF.csv"
    with pytest.raises(UnusableNotification, match="not UTF-8"):
        parse_notification(json.dumps(document).encode())


def test_the_message_of_a_store_that_tries_its_configuration_is_ignored() -> None:
    with pytest.raises(Ignored, match="tries its notifications out"):
        parse_notification(b'{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}')
