"""The floor of a day (bench/floor), and the account of what the day sent, step by step, beside it."""

import json
import os

import measure

MIB = 1 << 20


def floor_of(tools, day1, day2):
    cost = measure.run([os.path.join(tools, "floor"), "--day1", day1, "--day2", day2, "--json"])
    return json.loads(cost.out)


def without_rows(floor, most=20):
    """The floor as it is kept in a result: of its rows only the largest."""
    return {**floor, "rows": floor["rows"][:most]}


def steps(ours, floor):
    """(what, bytes) from the whole disk down to the floor; what the report does not say is left out."""
    day = ours["next_day"]
    report = day["report"]
    found = [("disk", report["disk_bytes"]),
             ("data: without free clusters, pagefile and holes", report["data_bytes"]),
             ("new chunks, plain", report["new_bytes"])]
    if "no_delta" in ours:
        found.append(("sent as compressed chunks", ours["no_delta"]["sent_bytes"]))
    found.append(("sent", day["sent_bytes"]))
    for field, what in (("delta_wire_bytes", "of it deltas"), ("node_wire_bytes", "of it metadata trees")):
        if field in report:
            found.append((what, report[field]))
    found.append(("received", day["received_bytes"]))
    if floor:
        found += [("floor: zstd -3 with the former content", floor["floor_bytes"]),
                  ("of it metadata", floor["by_kind"]["metadata"]["floor_bytes"]),
                  ("floor, small files together", floor["grouped_bytes"])]
    return found


def print_account(ours, floor):
    print("\n| the next day, step by step | MiB | of the floor |\n| --- | ---: | ---: |")
    for what, count in steps(ours, floor):
        share = f"{count / floor['floor_bytes']:.2f}" if floor and floor["floor_bytes"] else ""
        print(f"| {what} | {count / MIB:.2f} | {share} |")
    report = ours["next_day"]["report"]
    if "delta_chunks" in report:
        print(f"\n{report['new_chunks']} new chunks, {report['delta_chunks']} of them as deltas "
              f"({report['delta_bytes'] / MIB:.1f} MiB plain), {report['whole_again_chunks']} sent again whole.")


def print_kept(ours):
    """What the controller keeps, per GiB of unique data, after the first full and the sibling."""
    unique = 0
    for step, title in (("first", "the first full"), ("next_day", "the next day"), ("sibling", "the sibling")):
        unique += ours[step]["report"]["new_bytes"]
        parts = [f"{name} {ours[step][field] / MIB:.1f} MiB ({ours[step][field] / unique * 1024:.1f} MiB per GiB)"
                 for name, field in (("catalog", "catalog_bytes"), ("signatures", "signature_bytes"))
                 if ours[step].get(field)]
        print(f"{'' if step != 'first' else chr(10)}After {title}, {unique / MIB:.0f} MiB of unique data: "
              f"{', '.join(parts)}.")


def print_largest(floor, most=20):
    print("\n| the floor's largest | MiB | of MiB | former |\n| --- | ---: | ---: | --- |")
    for row in floor["rows"][:most]:
        print(f"| {row['path']} | {row['floor_bytes'] / MIB:.3f} | {row['bytes'] / MIB:.1f} | {row['former']} |")
