"""HTTP as such: problem documents, bounded bodies, access, measurement, declared operations. Knows no model."""
