"""Every limit that clients can hit, with Swift's defaults (reference 1.0, 1.2-1.4, 2.14).

Pure.
"""

from dataclasses import dataclass

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one cluster; `/info` shows them under these names."""

    max_file_size: int = 5 * GiB + 2
    max_meta_name_length: int = 128
    max_meta_value_length: int = 256
    max_meta_count: int = 90
    max_meta_overall_size: int = 4096
    max_header_size: int = 8192
    extra_header_count: int = 0
    max_object_name_length: int = 1024
    container_listing_limit: int = 10_000
    account_listing_limit: int = 10_000
    max_account_name_length: int = 256
    max_container_name_length: int = 256

    @property
    def max_header_count(self) -> int:
        """Metadata headers, and 36 for all that HTTP and Swift themselves need."""
        return self.max_meta_count + 36 + self.extra_header_count


assert Limits().max_meta_count * 2 <= Limits().max_meta_overall_size, "a full set must fit"
