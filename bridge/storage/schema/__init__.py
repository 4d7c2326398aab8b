"""What the tables are, for people and programs: pages, diagrams, a definition to export, and statements to copy.

    bridge.storage.tables (and .triggers)  ->  description  ->  pages (with diagram, statements)   Markdown
                                                            ->  export                             YAML, JSON
    bridge.config  ->  figures  ->  both

Everything is made from the code that runs, so it cannot differ from it. No database is asked and no file is read but
those of the package; the same version always makes the same text.
"""
