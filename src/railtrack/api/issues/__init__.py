"""Issues: quality problems that people or programs found in traces. Assessments of traces refer to them."""
